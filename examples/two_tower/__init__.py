"""A two-tower ranker in both forms: ids through a vocabulary, or vectors that the caller keeps."""
