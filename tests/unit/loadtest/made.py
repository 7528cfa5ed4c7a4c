"""Records with known contents, in milliseconds."""

from __future__ import annotations

import numpy as np

from loadtest.records import ANSWERED, ENDINGS, NEVER_NS, Records, blank


def made(*entries: tuple[float, float, float, str], reasons: tuple[str, ...] = ("",)) -> Records:
    """One record per (intended, sent, done, ending); a negative time = never.

    Answers have four candidates, all scored, in the order 0, 1, 2, 3, and took the server 1 ms.
    """
    intended_ns = np.array([round(entry[0] * 1e6) for entry in entries], np.int64)
    rows = blank(intended_ns, np.zeros(len(entries), np.int64))
    for row, (_, sent_ms, done_ms, ending) in zip(rows, entries, strict=True):
        row["sent_ns"] = round(sent_ms * 1e6) if sent_ms >= 0 else NEVER_NS
        row["done_ns"] = round(done_ms * 1e6) if done_ms >= 0 else NEVER_NS
        row["ending"] = ENDINGS.index(ending)
        if ending == ANSWERED:
            row["candidates"] = row["scored"] = 4
            row["top"][:4] = range(4)
            row["server_us"] = 1000
    return Records(rows, reasons)


def answered_after(*latencies_ms: float) -> Records:
    """Answered records, 100 ms apart, sent when intended."""
    return made(*((100.0 * at, 100.0 * at, 100.0 * at + ms, ANSWERED) for at, ms in enumerate(latencies_ms)))
