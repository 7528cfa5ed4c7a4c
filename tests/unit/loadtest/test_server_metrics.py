"""The server's own account, read from its metrics pages."""

from loadtest.server_metrics import Page, open_metrics, seen

EDGES = ("0.005", "0.01", "0.025", "+Inf")


def page(at_s: float, counts: tuple[int, int, int, int], refused: int = 0) -> Page:
    """Two series of the histogram, of which the second holds nothing but a constant past."""
    lines = ["# TYPE podium_request_duration_seconds histogram"]
    for answer, values in (("scored", counts), ("degraded", (0, 0, 5, 5))):
        lines += [
            f'podium_request_duration_seconds_bucket{{answer="{answer}",le="{edge}"}} {value}'
            for edge, value in zip(EDGES, values, strict=True)
        ]
        lines.append(f'podium_request_duration_seconds_count{{answer="{answer}"}} {values[-1]}')
        lines.append(f'podium_request_duration_seconds_sum{{answer="{answer}"}} 1.5')
    lines += ["# TYPE podium_refusals_total counter", f"podium_refusals_total {refused}", ""]
    return Page(at_s, 1_700_000_000 + at_s, "\n".join(lines))


PAGES = [
    page(0, (10, 10, 10, 10)),
    page(5, (10, 1005, 1010, 1010)),
    page(9, (10, 1005, 9000, 9000), refused=3),
]


def test_p99_is_of_what_was_answered_between_the_pages() -> None:
    """1,000 answers, 995 of them within 10 ms: the bucket from 5 to 10 holds the 99th percentile."""
    found = seen(PAGES, 0.0, 5.0, client_p99_ms=14.0)
    assert found is not None
    assert (5.0, 10.0, 1000) == (found.p99_low_ms, found.p99_high_ms, found.answered)
    assert "gRPC on both sides" in found.gap


def test_a_p99_in_the_last_bucket_has_no_upper_edge() -> None:
    """Said as such, not as infinity."""
    found = seen([page(0, (0, 0, 0, 0)), page(1, (0, 0, 0, 50))], 0, 1, None)
    assert found is not None
    assert (25.0, None) == (found.p99_low_ms, found.p99_high_ms)


def test_without_two_pages_or_answers_there_is_no_account() -> None:
    """A server that did not tell is not made up."""
    assert seen([], 0, 1, None) is None
    assert seen(PAGES[:1], 0, 1, None) is None
    assert seen([page(0, (1, 1, 1, 1)), page(1, (1, 1, 1, 1))], 0, 1, None) is None


def test_the_pages_become_open_metrics_with_timestamps() -> None:
    """Families together, a series' samples in order of time, the end marked."""
    lines = open_metrics(PAGES).splitlines()
    assert "# EOF" == lines[-1]
    assert lines.count("# TYPE podium_refusals counter") == 1
    mine = [line for line in lines if line.startswith("podium_refusals_total")]
    assert [
        "podium_refusals_total 0 1700000000.000",
        "podium_refusals_total 0 1700000005.000",
        "podium_refusals_total 3 1700000009.000",
    ] == mine
