"""The heads' part of `report.html`: a line per head, and what its calibration did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from export.head_report import PYTORCH, HeadReport

_CELL = "<td class=n>{}</td>"


def section(heads: Sequence[HeadReport]) -> Iterator[str]:
    """HTML fragments; none for a ranker with one plain head."""
    if not heads:
        return
    variants = list(dict.fromkeys(name for head in heads for name in (*head.auc, *head.calibration_error)))
    columns = ["head", "weight", "labels", "positive"]
    columns += [f"AUC, {_named(variant)}" for variant in variants]
    columns += ["calibration error before", *(f"after, {_named(variant)}" for variant in variants)]
    yield "<h2>Heads</h2>"
    header = "".join(f"<th{' class=n' if at else ''}>{escape(one)}</th>" for at, one in enumerate(columns))
    yield f'<div class="scroll"><table><tr>{header}</tr>'
    for head in heads:
        yield f"<tr><td>{escape(head.head)}</td>" + "".join(
            _CELL.format(text)
            for text in (
                f"{head.weight:g}",
                f"{head.candidates:,} of {head.requests:,} requests",
                _number(head.positives, "{:.1%}"),
                *(_auc(head, variant) for variant in variants),
                _number(head.calibration_error_before),
                *(_number(head.calibration_error.get(variant)) for variant in variants),
            )
        )
        yield "</tr>"
    yield "</table></div>"
    yield (
        '<p class="soft">AUC within a request, mean over requests; "all": over all labels together, where no '
        "request has both kinds. Calibration error: mean distance between the probability said and the share "
        "that happened, in 15 bins of equal size, on the evaluation requests.</p>"
    )


def _named(variant: str) -> str:
    return "PyTorch" if variant == PYTORCH else variant


def _auc(head: HeadReport, variant: str) -> str:
    return _number(head.auc.get(variant), "{:.4f} (all)" if head.auc_of == "all" else "{:.4f}")


def _number(value: float | None, form: str = "{:.4f}") -> str:
    return "-" if value is None else form.format(value)
