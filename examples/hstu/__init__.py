"""A generative-style ranker: candidates are appended to the history and see it and themselves only."""
