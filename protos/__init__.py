"""Contracts only: the wire's .proto files, the bundle's manifest, the request set's file format.

Rule: nothing here imports another part of Podium.
"""
