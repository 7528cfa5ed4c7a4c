"""The alarm goes off when it should, as seen by select."""

import select
import time

from loadtest.client.timer import Alarm


def test_the_alarm_is_readable_from_its_instant_until_cleared() -> None:
    """Not before, then until `clear`; an instant that has passed counts as now."""
    alarm = Alarm()
    try:
        alarm.set(time.monotonic_ns() + 3_600_000_000_000)
        before = select.select([alarm.fd], [], [], 0)[0]
        alarm.set(1)
        after = select.select([alarm.fd], [], [], 10)[0]
        alarm.clear()
        cleared = select.select([alarm.fd], [], [], 0)[0]
        alarm.clear()  # nothing to clear is no error
    finally:
        alarm.close()

    assert ([], [alarm.fd], []) == (before, after, cleared)


def test_the_alarm_never_goes_off_early() -> None:
    """It waits on the clock that schedules are written in: an early one would send ahead of the plan."""
    alarm = Alarm()
    try:
        due_ns = time.monotonic_ns() + 2_000_000
        alarm.set(due_ns)
        select.select([alarm.fd], [], [], 10)
        woke_ns = time.monotonic_ns()
    finally:
        alarm.close()

    assert woke_ns >= due_ns
