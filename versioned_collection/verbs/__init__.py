"""One module per verb. A verb gathers what it needs, decides, and hands over a commit."""
