"""What the process asks of the interpreter, the allocator and the kernel, once, before it serves.

Each setting has its number in docs/decisions.md (process tuning). All are local to this process and need no
privilege; where one is not to be had, the server runs without it and the start log says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import struct
import sys
import threading

SWITCH_INTERVAL_S = 0.0005
"""Python's default of 5 ms lets a busy thread hold up the event loop for a fifth of a 25 ms budget."""
GC_YOUNG = 20_000
"""Allocations between young collections; Python's 700 collects every few requests, and finds nothing."""

SLICE_NS = 10_000_000
"""CPU time before a thread that others wait for is put aside. The kernel's 3 ms cuts runs in two; each cut
costs the caches. Not longer: it bounds what a neighbour on the same core can take from the loop."""
EXECUTOR_NICE = 5
"""A third of the front end's weight where they compete: enough to fill runs, too little to starve them."""

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
        "long_slices": _long_slices(),
        "malloc_keeps": _keep_memory(),
    }


def freeze() -> None:
    """Everything alive now lives until the end: no reason for a collection to walk it again."""
    gc.collect()
    gc.freeze()


def stand_back() -> None:
    """Called by an executor's thread: on a core that it shares with the front end, the front end goes first.

    Requests that have arrived are then read before the next run starts, so that runs fill; on a core of its
    own an executor loses nothing.
    """
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), EXECUTOR_NICE)


def _batch_scheduling() -> bool:
    # Under SCHED_BATCH a thread that wakes does not preempt its sibling: the event loop and the executors
    # take turns in long strides instead of interrupting one another many times a request.
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):  # not Linux, or forbidden by a sandbox
        return False
    return True


def _long_slices() -> bool:
    # sched_setattr(2), which Python does not wrap; threads started later inherit the slice (Linux 6.12 on,
    # earlier kernels ignore it). struct sched_attr: size, policy, flags, nice, priority, runtime, ...
    number = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
    if number is None or not hasattr(os, "SCHED_BATCH"):
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = struct.pack("IIQiIQQQ", 48, os.SCHED_BATCH, 0, nice, 0, SLICE_NS, 0, 0)
    return int(ctypes.CDLL(None).syscall(number, 0, attributes, 0)) == 0


def _keep_memory() -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    kept = mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    return bool(kept and mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES))
