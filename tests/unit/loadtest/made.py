"""Records with known contents, in milliseconds."""

from __future__ import annotations

import numpy as np

from loadtest.records import ANSWERED, DTYPE, ENDINGS, NEVER_NS, Records


def made(*entries: tuple[float, float, float, str], reasons: tuple[str, ...] = ("",)) -> Records:
    """One record per (intended, sent, done, ending); a negative time = never.

    Answers have four candidates, all scored, none given up, in the order 0, 1, 2, 3; the server took 1 ms.
    """
    rows = np.zeros(len(entries), DTYPE)
    rows["top"] = -1
    for row, (intended_ms, sent_ms, done_ms, ending) in zip(rows, entries, strict=True):
        row["intended_ns"] = round(intended_ms * 1e6)
        row["sent_ns"] = round(sent_ms * 1e6) if sent_ms >= 0 else NEVER_NS
        row["done_ns"] = round(done_ms * 1e6) if done_ms >= 0 else NEVER_NS
        row["ending"] = ENDINGS.index(ending)
        if ending == ANSWERED:
            row["candidates"] = row["scored"] = 4
            row["step"] = 1
            row["top"][:4] = range(4)
            row["server_us"] = 1000
    return Records(rows, reasons)


def answered_after(*latencies_ms: float) -> Records:
    """Answered records, 100 ms apart, sent when intended."""
    return made(*((100.0 * at, 100.0 * at, 100.0 * at + ms, ANSWERED) for at, ms in enumerate(latencies_ms)))
