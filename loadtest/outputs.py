"""A run's folder: written once, read back to show or fold it again.

run.json            the result (its JSON Schema: `loadtest/scenarios/run.schema.json`)
records.npz         one row per scheduled request
windows.csv         one row per second
truth.npz           what the orders are worth: labels, prior, idle reference
client.npz          what the client processes and the machine saw of themselves
server_metrics.om   the server's metrics during the run, with timestamps (OpenMetrics)
report.md, report.html
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from loadtest import machine, records, server_metrics, truth
from loadtest.assess import Evidence, Outcome, Pass, assess
from loadtest.client.sender import Seen
from loadtest.result import Run, Window
from loadtest.schedule.build import boundaries_ns

RUN_FILE: Final = "run.json"
RECORDS_FILE: Final = "records.npz"
WINDOWS_FILE: Final = "windows.csv"
TRUTH_FILE: Final = "truth.npz"
CLIENT_FILE: Final = "client.npz"
METRICS_FILE: Final = "server_metrics.om"
MARKDOWN_FILE: Final = "report.md"
HTML_FILE: Final = "report.html"
SCHEMA_FILE: Final = Path(__file__).parent / "scenarios" / "run.schema.json"


def save(outcome: Outcome, folder: Path) -> None:
    """Write everything, the result first.

    Raises:
        OSError: there is no room, or no permission; what was written before stays.
    """
    evidence = outcome.evidence
    folder.mkdir(parents=True, exist_ok=True)
    for optional in (TRUTH_FILE, METRICS_FILE):  # an earlier run's, which would be taken for this one's
        (folder / optional).unlink(missing_ok=True)
    (folder / RUN_FILE).write_bytes(outcome.run.encode())
    evidence.records.save(folder / RECORDS_FILE)
    _save_client(evidence.passes, folder / CLIENT_FILE)
    if evidence.truth is not None:
        evidence.truth.save(folder / TRUTH_FILE)
    pages = [page for one in evidence.passes for page in one.pages]
    if pages:
        (folder / METRICS_FILE).write_text(server_metrics.open_metrics(pages), encoding="utf-8")
    _save_reports(outcome, folder)


def save_again(outcome: Outcome, folder: Path) -> None:
    """Write what follows from the records: the result and the reports.

    Raises:
        OSError: as `save`.
    """
    (folder / RUN_FILE).write_bytes(outcome.run.encode())
    _save_reports(outcome, folder)


def _save_reports(outcome: Outcome, folder: Path) -> None:
    # Plotly takes a while to import: only for a report.
    from loadtest.report import markdown, page

    (folder / WINDOWS_FILE).write_text(_csv(outcome.windows), encoding="utf-8")
    (folder / MARKDOWN_FILE).write_text(markdown.render(outcome.run), encoding="utf-8")
    (folder / HTML_FILE).write_text(page.render(outcome.run, outcome.windows), encoding="utf-8")


def load_run(folder: Path) -> Run:
    """Read a result.

    Raises:
        ValueError: it is no run, or of another version.
        OSError: it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=Run)
    except msgspec.DecodeError as error:
        raise ValueError(f"{folder / RUN_FILE}: {error}") from error


def fold_again(folder: Path) -> Outcome:
    """The result once more from its records: what a later version makes of an earlier run.

    Raises:
        ValueError: it is no run, or of another version.
        OSError: it cannot be read.
    """
    before = load_run(folder)
    recorded = records.load(folder / RECORDS_FILE)
    starts_ns, ends_ns = boundaries_ns(before.scenario)
    known = truth.load(folder / TRUTH_FILE) if (folder / TRUTH_FILE).exists() else None
    return assess(
        Evidence(
            created=before.created,
            scenario=before.scenario,
            records=recorded,
            starts_ns=starts_ns,
            ends_ns=ends_ns,
            passes=_load_client(folder / CLIENT_FILE, before.interrupted_after_s),
            truth=known,
            determinism=before.determinism,
            workload=before.workload,
            processes=before.client.processes,
            cores=[core for cores in before.client.cores for core in cores],
            judged_per_s_max=before.client.judged_per_s_max,
            calibrated=before.client.calibrated,
            schedule_sha256=before.schedule_sha256,
            environment=before.environment,
            server=before.server,
        )
    )


def schema() -> bytes:
    """The published JSON Schema of run.json."""
    described = {"$id": "podium-loadtest-run-2", **msgspec.json.schema(Run)}
    return msgspec.json.format(msgspec.json.encode(described, order="deterministic"), indent=2) + b"\n"


def _csv(windows: Sequence[Window]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Window.__struct_fields__)
    for window in windows:
        writer.writerow(["" if value is None else value for value in msgspec.structs.astuple(window)])
    return out.getvalue()


def _save_client(passes: Sequence[Pass], path: Path) -> None:
    """All passes' and processes' probes as one table each, told apart by their first columns."""
    probes: list[Any] = [np.zeros((0, 5), np.int64)]
    ticks: list[Any] = [np.zeros((0, 4))]
    senders: list[tuple[int, int, int]] = []
    for number, one in enumerate(passes):
        for process, seen in enumerate(one.seen):
            mark = np.broadcast_to([number, process], (len(seen.probes), 2))
            probes.append(np.hstack([mark, seen.probes]))
            senders.append((number, process, seen.in_flight_ns))
        ticks.append(
            np.array([(number, tick.at_s, tick.stolen, tick.total) for tick in one.ticks]).reshape(-1, 4)
        )
    np.savez(
        path,
        probes=np.concatenate(probes),
        ticks=np.concatenate(ticks),
        senders=np.array(senders, np.int64).reshape(-1, 3),
        died=np.array([one.died for one in passes]),
    )


def _load_client(path: Path, stopped_s: float | None) -> list[Pass]:
    with np.load(path, allow_pickle=False) as file:
        probes, ticks, senders, died = file["probes"], file["ticks"], file["senders"], file["died"]
    passes = []
    for number, lost in enumerate(died.tolist()):
        seen = [
            Seen([""], probes[(probes[:, 0] == number) & (probes[:, 1] == process)][:, 2:], int(in_flight_ns))
            for at, process, in_flight_ns in senders.tolist()
            if at == number
        ]
        mine = [
            machine.Ticks(at_s, int(stolen), int(total)) for at, at_s, stolen, total in ticks if at == number
        ]
        last = number == len(died) - 1
        passes.append(Pass(seen, mine, (), lost, stopped_s if last else None))
    return passes
