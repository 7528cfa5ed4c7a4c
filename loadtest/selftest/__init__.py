"""The instrument measures itself: a mock server with injected truths, and what the harness makes of it.

Rule: the mock decides, delays, counts and logs with code of its own; nothing here folds a record.
"""
