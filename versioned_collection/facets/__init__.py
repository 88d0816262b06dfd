"""The public methods of `VersionedCollection`, by what they are about."""
