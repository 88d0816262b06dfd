"""The other side of push and pull: what is asked of it, and how versions travel."""
