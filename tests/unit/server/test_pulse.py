"""What is read after a standstill may have waited as long; what is read by a busy loop has not."""

from __future__ import annotations

from server.pulse import BEAT_NS, STANDSTILL_NS, Pulse

NOW_NS = 7_000_000_000


def test_what_a_living_loop_reads_has_just_arrived() -> None:
    """Between two beats, and while the next is late by no more than a busy loop makes it."""
    pulse = Pulse(NOW_NS)
    for later_ns in (0, BEAT_NS, BEAT_NS + STANDSTILL_NS):
        assert NOW_NS + later_ns == pulse.arrival_ns(NOW_NS + later_ns)


def test_what_is_read_after_a_standstill_may_be_as_old_as_it() -> None:
    """From the instant at which a beat was missed; once the loop has beaten, arrivals are fresh again."""
    pulse = Pulse(NOW_NS)
    woken_ns = NOW_NS + 2_000_000_000
    assert NOW_NS + BEAT_NS == pulse.arrival_ns(woken_ns)
    pulse.beat(woken_ns)
    assert woken_ns + 1 == pulse.arrival_ns(woken_ns + 1)
