"""`podium`: one verb per file. Rule: nothing heavy (torch, onnxruntime, scipy, grpc) is imported before a
verb needs it, so that `podium --help` stays instant.
"""

from podium.cli.app import main

__all__ = ["main"]
