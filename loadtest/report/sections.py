"""What stands below the first screen of report.html, one function per part. Pure."""

from __future__ import annotations

from typing import Final

from loadtest.report import tables, words
from loadtest.report.losses import loss_bar, loss_rows
from loadtest.report.markup import Part, bullets, details, facts, paragraph, section, stack, table
from loadtest.result import Run

_STAGE_COLOURS: Final = {
    "client lag": "--ink", "queue_us": "--refused", "run_us": "--accent", "form_us": "--degraded",
    "decode_us": "--calm", "split_us": "--seen", "server, other": "--quantised", "outside": "--prior",
}  # fmt: skip


def percentiles(run: Run) -> str:
    """The table beside the curve."""
    rows = [[name, *cells] for name, cells in tables.latency_rows(run.summary)]
    return table("Latency percentiles", ["milliseconds", *tables.LATENCY_COLUMNS], rows)


def phases(run: Run) -> str:
    """One row per phase, and how long each overload was felt."""
    rows = [tables.phase_row(phase) for phase in run.phases]
    said = [
        f"{phase.name}: {words.as_sentence(phase.judgement.sentence)}"
        for phase in run.phases
        if phase.judgement is not None
    ]
    cut = [
        f"{phase.name}: its first {phase.discarded_s:g} s were discarded, the warm-up was not over (MSER-5)."
        for phase in run.phases
        if phase.discarded_s
    ]
    return section(
        "phases",
        "Phases",
        paragraph("Each measured phase is judged on its own; the worst verdict is the run's."),
        table("Phases", tables.phase_columns(run), rows),
        bullets([*cut, *words.recoveries(run)]),
        details("Each verdict in a sentence", bullets(said)) if len(said) > 1 else "",
    )


def slices(run: Run) -> str:
    """The numbers behind the figure over candidate counts, and the classes of the mix."""
    deciles = [tables.slice_row(part) for part in run.deciles]
    classes = [tables.slice_row(part, named=True) for part in run.classes] if len(run.classes) > 1 else []
    return "".join(
        [
            table("Deciles of candidate counts", tables.SLICE_COLUMNS, deciles),
            table("Classes of the mix", ["class (candidates)", *tables.SLICE_COLUMNS[1:]], classes),
        ]
    )


def quality(run: Run) -> str:
    """Where nDCG went."""
    found = run.quality
    if found is None:
        return ""
    overlap = "-" if found.overlap is None else words.percent(found.overlap)
    goodput = _weighted(found.weighted_goodput_per_s, found.degraded_weighted_goodput_per_s)
    rows = [
        ("requests with a relevant candidate", f"{found.requests:,}"),
        ("quality-weighted goodput", goodput),
        ("coverage", f"{words.percent(found.coverage)} of the scheduled candidates were scored in time"),
        (f"MRR@{found.k}", words.ndcg(found.mrr)),
        (f"overlap@{found.k} with the unquantised order", overlap),
        ("determinism", words.determinism(run) or "not compared"),
    ]
    says = (
        "The bar's whole length is the nDCG of the unquantised order from an idle server. Grey is what the "
        "order gives that the requests came with; the rest was gained, or lost on the way."
    )
    judged = [phase for phase in run.phases if phase.judgement is not None]
    by_phase = loss_rows([(phase.name, phase.quality) for phase in judged if phase.quality is not None])
    return section(
        "quality",
        "Quality under load",
        paragraph(says if found.losses else ""),
        f"<figure>{loss_bar(found)}</figure>",
        f"<h3>By phase</h3>{by_phase}" if by_phase else "",
        facts(rows),
    )


def _weighted(per_s: float, degraded_per_s: float) -> str:
    shown = words.per_second(per_s)
    return f"{shown}, of which {words.per_second(degraded_per_s)} degraded" if degraded_per_s else shown


def endings(run: Run) -> str:
    """What ended without an answer, and where the time of the late answers went."""
    numbers = run.summary
    rows = [
        [words.ending(entry), f"{entry.count:,}", words.percent(entry.count / numbers.scheduled)]
        for entry in numbers.refused
        if numbers.scheduled
    ]
    body = table("Endings without an answer", ["ending", "requests", "of the scheduled"], rows)
    return section(
        "endings",
        "Late and refused",
        paragraph(f"{words.counts(numbers)}."),
        body or paragraph("Every request was answered."),
        _anatomy(run),
    )


def _anatomy(run: Run) -> str:
    found = run.anatomy
    if not found.late:
        return ""
    parts = [
        Part(words.stage(name), share, words.percent(share), _STAGE_COLOURS.get(name, "--faint"))
        for name, share in found.shares.items()
    ]
    label = ", ".join(f"{part.name} {part.shown}" for part in parts)
    says = f"Mean shares of the latency of {words.count(found.late, 'answer')} that came after the budget."
    drawn = f"<figure>{stack(label, parts)}</figure>"
    return f"<h3>Anatomy of a late answer</h3>{paragraph(says)}{drawn}"


def accounts(run: Run) -> str:
    """The client's and the server's own account of the same time."""
    numbers, seen = run.summary, run.server
    rows = [
        ["client, since intended", f"{numbers.answered:,}", words.milliseconds(numbers.latency.p99_ms)],
        ["client, since sent", f"{numbers.answered:,}", words.milliseconds(numbers.service.p99_ms)],
        ["server, in its replies", f"{numbers.answered:,}", words.milliseconds(numbers.server.p99_ms)],
    ]
    gap = "The server's metrics page was not read."
    if seen is not None:
        bucket = f"above {words.number(seen.p99_low_ms)}"
        if seen.p99_high_ms is not None:
            bucket = f"{words.number(seen.p99_low_ms)} to {words.number(seen.p99_high_ms)}"
        rows.append(["server, its metrics page", f"{seen.answered:,}", bucket])
        gap = words.as_sentence(seen.gap)
    return section(
        "accounts",
        "Client and server, side by side",
        paragraph(gap),
        table("Two accounts of one run", ["account", "answered", "p99 ms"], rows),
    )


def guards(run: Run) -> str:
    """Was it the server that was measured?"""
    listed = tables.guards(run)
    rows = [[*tables.guard_row(entry, phase), entry.says] for entry, phase in listed]
    voided = [entry for entry, _ in listed if entry.tripped]
    said = "No guard tripped: what was measured is the server." if listed else "Nothing was guarded."
    if voided:
        how_many = words.count(len(voided), "guard")
        said = f"{how_many} tripped: the client, not the server, may have been measured."
    return section(
        "guards",
        "Guards",
        paragraph(said, "alarm" if voided else ""),
        table("Guards, the worst of all phases", [*tables.GUARD_COLUMNS, "why"], rows, text=(4, 5)),
    )


def rules() -> str:
    """How it was measured."""
    return section("rules", "How it was measured", bullets(words.RULES, "ol"))


def provenance(run: Run) -> str:
    """What a reader needs to repeat the run, and to doubt it."""
    gates = words.gate(run)
    return section(
        "run",
        "This run",
        bullets(run.notes),
        facts(tables.provenance(run)),
        facts([("also asked at the gate", "; ".join(gates))] if gates else []),
        "<h3>Environment</h3>" if run.environment else "",
        facts(run.environment.items()),
    )
