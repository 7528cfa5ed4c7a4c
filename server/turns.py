"""Who goes first where the event loop and the executors share a core.

On a core of their own none of this matters. On a shared one there are two ways to lose: a loop that
interrupts every run for every packet costs the model its caches; a loop that waits for a run to end stamps
arrivals late, so that admission counts on time that has passed, and refusals come too late to be of use. So
the loop waits for short runs and cuts into long ones, and an executor steps aside between two runs when the
loop has waited.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
import time
from contextlib import suppress

SLICE_NS = 10_000_000
"""CPU time before a thread that others wait for is put aside, while all goes well. The kernel's 3 ms cuts
runs in two; each cut costs the caches."""
SHORT_SLICE_NS = 3_000_000
LOOP_SLICE_NS = 1_000_000
"""Of executors and loop while time is short. The loop's is the shorter one, or the kernel (6.12 on) would let
a run end its slice first."""
EXECUTOR_NICE = 5
"""A third of the front end's weight where they compete: enough to fill runs, too little to starve them."""
CUT_IN_NS = 3_000_000
"""Runs that are longer with the machine to themselves are cut into. Not the time that is predicted for them:
it holds what the loop takes, so a loop that cuts in would make runs ever longer to cut into."""
REFUSED_NS = 100_000_000
"""So long after a refusal for want of room, time is short: what arrives is looked at before it has waited."""
ASIDE_NS = 3_000_000
"""An executor steps aside between two runs if the loop has not had a turn for so long."""

_SETATTR = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
_LIBC = ctypes.CDLL(None)


class Turns:
    """Made on the loop's thread; obeyed by the executors'."""

    def __init__(self) -> None:
        self._loop = threading.get_native_id()
        self._executors: list[int] = []
        self._hurried = False
        self._turn_ns = 0
        self._refused_ns = -REFUSED_NS

    def stand_back(self) -> None:
        """Called once by an executor's thread: requests that have arrived are read before the next run."""
        thread = threading.get_native_id()
        self._executors.append(thread)
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, thread, EXECUTOR_NICE)

    def taken(self, now_ns: int) -> None:
        """The loop has its turn."""
        self._turn_ns = now_ns

    def refused(self, now_ns: int) -> None:
        """Somebody found no room."""
        self._refused_ns = now_ns

    def begin(self, alone_ns: int) -> None:
        """A run begins; may the loop cut into it?"""
        hurried = alone_ns > CUT_IN_NS or time.monotonic_ns() - self._refused_ns < REFUSED_NS
        if hurried != self._hurried:
            self._hurried = hurried
            set_policy(self._loop, batch=not hurried, slice_ns=LOOP_SLICE_NS if hurried else SLICE_NS)
            for thread in self._executors:
                set_policy(thread, batch=True, slice_ns=SHORT_SLICE_NS if hurried else SLICE_NS)

    def step_aside(self) -> None:
        """Called by an executor between two runs: let the loop read what has arrived, if it has waited."""
        if time.monotonic_ns() - self._turn_ns > ASIDE_NS:
            _LIBC.sched_yield()  # os.sched_yield would keep the interpreter's lock


def set_policy(thread: int, *, batch: bool, slice_ns: int) -> bool:
    """sched_setattr(2), which Python does not wrap; whether it took. 0 = the calling thread.

    Under SCHED_BATCH a thread that wakes does not preempt another; a slice of its own is known to Linux from
    6.12 on, earlier kernels ignore it. struct sched_attr: size, policy, flags, nice, priority, runtime, ...
    """
    if _SETATTR is None or not hasattr(os, "SCHED_BATCH"):
        return False
    policy = os.SCHED_BATCH if batch else os.SCHED_OTHER
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    attributes = struct.pack("IIQiIQQQ", 48, policy, 0, nice, 0, slice_ns, 0, 0)
    return int(_LIBC.syscall(_SETATTR, thread, attributes, 0)) == 0
