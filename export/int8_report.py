"""What a bundle says of its int8 variant: what was quantised, and what the sensitivity search found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from export.gates.verdict import GateFailed
from export.sensitivity import Ended, Search

if TYPE_CHECKING:
    from export.quantised import Quantised

_SAID: Mapping[Ended, str] = {
    "not_needed": "All products passed the gates together",
    "passes": "The others pass the gates",
    "time": "The search was cut off by its time limit",
    "nothing_helps": "One product was left and still failed",
}


class SearchReport(msgspec.Struct, kw_only=True):
    """`export.sensitivity.Search`, for people and machines; attributes as there, `seconds` rounded."""

    excluded: dict[str, str]
    ended: Ended
    judgements: int
    seconds: float


def search_of(search: Search) -> SearchReport:
    """As it is written."""
    return SearchReport(
        excluded=dict(search.excluded),
        ended=search.ended,
        judgements=search.judgements,
        seconds=round(search.seconds, 2),
    )


def source_of(int8: Quantised, calibration_requests: int) -> dict[str, Any]:
    """`manifest.source.int8`."""
    return {
        "quantized": list(int8.quantized),
        "kept_fp32": dict(int8.kept_fp32),
        "levelled": list(int8.levelled),
        "outliers": {name: list(neurons) for name, neurons in int8.outliers.items()},
        "calibration_requests": calibration_requests,
        "search": msgspec.to_builtins(search_of(int8.search)),
    }


@contextmanager
def explaining(search: Search) -> Iterator[None]:
    """Run gates; a refusal also says if the search did not end well."""
    try:
        yield
    except GateFailed as refusal:
        if (more := shortage(search)) is None:
            raise
        sentence = f"{refusal.sentence}; {more}"
        raise GateFailed(refusal.gate_name, sentence, refusal.details) from refusal


def shortage(search: Search) -> str | None:
    """What to add to a gate's refusal when the search did not end well."""
    count = len(search.excluded)
    if search.ended == "time":
        return (
            f"the search for products that must stay fp32 ended at its limit after {search.seconds:.0f} s "
            f"with {count} found: give it longer with --search-seconds, or --variants fp32"
        )
    if search.ended == "nothing_helps":
        return f"not even with {count} products left in fp32: more calibration requests, or --variants fp32"
    return None


def sentence(search: SearchReport) -> str:
    """HTML: how the search went."""
    text = f"{_SAID[search.ended]}; {search.judgements} variants judged in {search.seconds:.1f} s."
    names = ", ".join(search.excluded)
    return (
        f"<p>Sensitivity search: {escape(text)}"
        + (f" Left in fp32: {escape(names)}." if names else "")
        + "</p>"
    )
