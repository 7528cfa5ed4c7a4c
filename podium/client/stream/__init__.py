"""Requests over `RankStream`: many on one call per backend, each with a deadline and an end of its own.

Pure parts: `target` (whom a target names), `envelope` (bytes), `conversation` (one stream), `backend` (those
to one address), `roster` (all backends), `fleet` (everything, and the line of those who wait for a stream).
Thin shells around them: `blocking` and `aio`.
"""
