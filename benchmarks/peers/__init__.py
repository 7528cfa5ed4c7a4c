"""Podium beside other servers that a caller could use, on one core: `make bench-peers`; see README.md."""
