"""The pure part: versions, trees, revisions, documents, deltas. No I/O, clock or randomness."""
