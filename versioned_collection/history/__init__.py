"""What versions are called and contain, and what changes between them."""
