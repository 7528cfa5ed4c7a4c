"""Taking turns on one core asks the kernel for what it should, and nothing that needs a privilege."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from server.turns import CUT_IN_NS, REFUSED_NS, SLICE_NS, Turns, set_policy

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux only")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    policy = os.sched_getscheduler(0)
    yield
    os.sched_setscheduler(0, policy, os.sched_param(0))


def test_the_loop_cuts_into_long_runs_only() -> None:
    """The policy is set from the executor's thread, on the loop's; short runs put it back."""
    set_policy(0, batch=True, slice_ns=SLICE_NS)
    turns = Turns()
    seen = []
    for alone_ns in (CUT_IN_NS, CUT_IN_NS + 1, 10 * CUT_IN_NS, 1):
        executor = threading.Thread(target=turns.begin, args=(alone_ns,))
        executor.start()
        executor.join()
        seen.append(os.sched_getscheduler(0))
    assert [os.SCHED_BATCH, os.SCHED_OTHER, os.SCHED_OTHER, os.SCHED_BATCH] == seen


def test_the_loop_cuts_in_while_requests_are_refused() -> None:
    """After a refusal for want of room even a short run is cut into; some time later it is not."""
    set_policy(0, batch=True, slice_ns=SLICE_NS)
    turns = Turns()
    seen = []
    for refused_ns in (time.monotonic_ns(), time.monotonic_ns() - REFUSED_NS):
        turns.refused(refused_ns)
        executor = threading.Thread(target=turns.begin, args=(1,))
        executor.start()
        executor.join()
        seen.append(os.sched_getscheduler(0))
    assert [os.SCHED_OTHER, os.SCHED_BATCH] == seen


def test_executors_stand_back_and_others_do_not() -> None:
    """Only the thread that asks for it is made less important."""
    niceness: list[int] = []

    def execute() -> None:
        turns.stand_back()
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    turns = Turns()
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    executor = threading.Thread(target=execute)
    executor.start()
    executor.join()
    assert niceness[0] > before
    assert before == os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
