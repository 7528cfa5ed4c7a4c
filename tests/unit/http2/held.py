"""How much memory an object holds, itself and through whatever it refers to."""

from __future__ import annotations

import gc
import sys
from types import FunctionType, ModuleType

SHARED = (type, ModuleType, FunctionType)
"""Code, which everybody holds."""


def held_bytes(root: object) -> int:
    """Bytes of everything that can be reached from here."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, SHARED):
            seen[id(one)] = one
            waiting.extend(gc.get_referents(one))
    return sum(map(sys.getsizeof, seen.values()))
