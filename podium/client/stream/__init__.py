"""Requests over `RankStream`: many on one call per backend, each with a deadline and an end of its own.

Pure parts: `target` (whom a target names), `envelope` (bytes), `conversation` (one stream), `fleet` (all of
them, and the line of those who wait for one). Thin shells around them: `blocking` and `aio`.
"""
