"""What an answer leaves in its record."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import DecodeError

from loadtest.records import ANSWERED, ENDINGS, FAILED, STAGES, TOP
from podium.v1 import ranking_pb2 as pb

UNREADABLE: Final = "UNREADABLE_ANSWER"
_ANSWERED: Final = ENDINGS.index(ANSWERED)
_FAILED: Final = ENDINGS.index(FAILED)


_MOST: Final = 65_535
_INDEX_MAX: Final = 32_767
"""What the records have room for; `loadtest.workload` sends no more candidates than that."""


def note(row: Any, data: bytes) -> str:
    """Fill a record from an answer's bytes; return the reason why it is no answer, "" when it is one."""
    try:
        response = pb.RankResponse.FromString(data)
    except DecodeError:
        row["ending"] = _FAILED
        return UNREADABLE
    timings, coverage = response.timings, response.coverage
    row["ending"], row["step"] = _ANSWERED, min(response.step, 255)
    row["candidates"], row["scored"] = min(coverage.candidates, _MOST), min(coverage.scored, _MOST)
    row["batch_requests"], row["server_us"] = min(timings.batch_requests, _MOST), timings.total_us
    for stage in STAGES:
        row[stage] = getattr(timings, stage)
    top = [at for at in response.order[:TOP] if at <= _INDEX_MAX]
    row["top"][: len(top)] = top
    return ""
