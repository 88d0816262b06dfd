"""Speed, disk and memory of the library, as ratios against raw PyMongo in the same run."""
