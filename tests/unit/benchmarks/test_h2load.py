"""What h2load prints is read, and a run that did not go as ordered is an error."""

from __future__ import annotations

import pytest

from benchmarks.h2load import LoadError, read

OUTPUT = """
finished in 1.02s, 2456.78 req/s, 1.33MB/s
requests: 2500 total, 2500 started, 2500 done, 2500 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 2500 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.30MB (1365432) total, 48.97KB (50144) headers (space savings 90.41%), 1.19MB (1247500) data
"""


def test_rate_and_bytes_per_answer_are_read() -> None:
    """Both come from the totals, not from the rounded figures beside them."""
    assert (2456.78, 499.0) == read(OUTPUT, 2500)


def test_refused_calls_show_in_the_bytes() -> None:
    """A refused gRPC call is HTTP 200 without a message: only the mean length of an answer tells."""
    assert read(OUTPUT.replace("1247500", "623750"), 2500)[1] == 499.0 / 2


@pytest.mark.parametrize("output", ["", OUTPUT.replace("2500 succeeded", "2499 succeeded")])
def test_an_unanswered_request_is_an_error(output: str) -> None:
    """A rate over fewer requests than ordered is not a measurement."""
    with pytest.raises(LoadError, match="h2load"):
        read(output, 2500)
