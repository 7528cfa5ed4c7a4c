"""What the process asks of the interpreter, the allocator and the kernel, once, before it serves.

Each setting has its number in docs/decisions.md (process tuning). All are local to this process and need no
privilege; where one is not to be had, the server runs without it and the start log says so.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys

from server.turns import SLICE_NS, set_policy

SWITCH_INTERVAL_S = 0.0005
"""Python's default of 5 ms lets a busy thread hold up the event loop for a fifth of a 25 ms budget."""
GC_YOUNG = 20_000
"""Allocations between young collections; Python's 700 collects every few requests, and finds nothing."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_KEEP_BYTES = 256 << 20
"""Blocks up to this size stay with the allocator: payloads must not fault in fresh pages each time."""


def tune() -> dict[str, bool]:
    """Apply all settings; return which took."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(GC_YOUNG, 20, 100)
    return {
        "sched_batch": _batch_scheduling(),
        "long_slices": set_policy(0, batch=True, slice_ns=SLICE_NS),
        "malloc_keeps": _keep_memory(),
    }


def freeze() -> None:
    """Everything alive now lives until the end: no reason for a collection to walk it again."""
    gc.collect()
    gc.freeze()


def _batch_scheduling() -> bool:
    # Under SCHED_BATCH a thread that wakes does not preempt its sibling: the event loop and the executors
    # take turns in long strides instead of interrupting one another many times a request.
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):  # not Linux, or forbidden by a sandbox
        return False
    return True


def _keep_memory() -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    kept = mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    return bool(kept and mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES))
