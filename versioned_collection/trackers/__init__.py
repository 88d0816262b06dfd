"""The tracker collections: one module each, and nobody else touches that collection."""
