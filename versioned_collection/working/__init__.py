"""The working copy: what differs from HEAD, and how it is recorded, set aside and made whole."""
