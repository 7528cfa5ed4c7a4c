"""The server's own account: its metrics page, read once a second during the run.

It is shown beside the client's figures and never mixed with them. The pages are kept as OpenMetrics text with
timestamps, which Prometheus can back-fill.
"""

from __future__ import annotations

import itertools
import math
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from loadtest.result import ServerSeen

DURATION = "podium_request_duration_seconds_bucket"
PAGE_S_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Page:
    """One reading.

    Attributes:
        at_s: from the run's start.
        unix_s: for whoever stores it.
    """

    at_s: float
    unix_s: float
    text: str


def read(url: str) -> str:
    """Fetch the page.

    Raises:
        OSError: it cannot be had.
    """
    with urllib.request.urlopen(url, timeout=PAGE_S_MAX) as reply:
        text: str = reply.read().decode()
        return text


def check(text: str) -> None:
    """See that it is a metrics page.

    Raises:
        ValueError: it is something else.
    """
    _samples(text)


def seen(pages: Sequence[Page], from_s: float, to_s: float, client_p99_ms: float | None) -> ServerSeen | None:
    """p99 of what the server answered between the pages around these instants; None without two of them."""
    before = [page for page in pages if page.at_s <= from_s] or list(pages[:1])
    after = [page for page in pages if page.at_s >= to_s] or list(pages[-1:])
    if not before or not after or after[0].at_s <= before[-1].at_s:
        return None
    first, last = _buckets(before[-1].text), _buckets(after[0].text)
    edges = sorted(last)
    counts = [last[edge] - first.get(edge, 0.0) for edge in edges]
    if not edges or counts[-1] <= 0:
        return None
    at = next(index for index, count in enumerate(counts) if count >= 0.99 * counts[-1])
    low_ms = edges[at - 1] * 1e3 if at else 0.0
    high_ms = edges[at] * 1e3
    return ServerSeen(
        p99_low_ms=low_ms,
        p99_high_ms=high_ms if math.isfinite(high_ms) else None,
        answered=round(counts[-1]),
        gap=_gap(high_ms, client_p99_ms),
    )


def _gap(server_ms: float, client_ms: float | None) -> str:
    common = (
        "the server counts from the arrival of a request that it answered; the client from the instant at "
        "which it should have been sent, and an admitted request without an answer counts as infinitely late"
    )
    if client_ms is None or client_ms <= server_ms:
        return common
    return (
        f"{common}: the difference is sending, the network, gRPC on both sides, and what was never answered"
    )


def _buckets(text: str) -> dict[float, float]:
    """Cumulated counts by upper edge in seconds, over all series."""
    found: dict[float, float] = {}
    for sample in _samples(text):
        if sample.name == DURATION:
            edge = float(sample.labels["le"])
            found[edge] = found.get(edge, 0.0) + sample.value
    return found


def _samples(text: str) -> list[Sample]:
    return list(itertools.chain(*(family.samples for family in text_string_to_metric_families(text))))


def open_metrics(pages: Sequence[Page]) -> str:
    """All readings as one OpenMetrics exposition with timestamps.

    A family's samples stand together, a series' in order of time, as the format demands.
    """
    kinds: dict[str, str] = {}
    series: dict[str, dict[str, list[str]]] = {}
    for page in pages:
        for family in text_string_to_metric_families(page.text):
            kinds[family.name] = family.type
            lines = series.setdefault(family.name, {})
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                name = sample.name + _labels(sample.labels)
                lines.setdefault(name, []).append(f"{name} {sample.value!r} {page.unix_s:.3f}")
    said: list[str] = []
    for family_name, lines in series.items():
        said.append(f"# TYPE {family_name} {_kind(kinds[family_name])}")
        said += itertools.chain(*lines.values())
    return "\n".join([*said, "# EOF"]) + "\n"


def _kind(kind: str) -> str:
    return "unknown" if kind == "untyped" else kind


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    quoted = (
        f'{key}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'
        for key, value in labels.items()
    )
    return "{" + ",".join(quoted) + "}"
