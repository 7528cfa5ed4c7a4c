"""The gates: what an exported model must prove before a bundle is written.

One gate, one file, one NAME. A gate returns what it measured or raises GateFailed; the order is the
pipeline's.
"""

from export.gates.verdict import GateFailed, GateResult

__all__ = ["GateFailed", "GateResult"]
