"""The two ways in which a commit becomes true: in one transaction, or step by step."""
