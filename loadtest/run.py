"""A run from plan to result: schedule, client processes, records, numbers, verdict."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

import msgspec

from loadtest import arrivals, environment, records, sender, summary, verdict, workload
from loadtest.plan import Plan
from loadtest.records import Records
from loadtest.summary import Summary
from loadtest.verdict import Guards

RUN_FILE, RECORDS_FILE, REPORT_FILE = "run.json", "records.npz", "report.html"
LEAD_S = 0.2
"""From "all ready" to the first instant: time for the start to reach every process."""
REPLY_S_MAX = 30.0
"""How long past its last deadline a client process may take to hand over its records."""

Progress = Callable[[float], None]
"""Told the share of the run that has passed, 0 to 1."""


class RunFailed(Exception):
    """Nothing was measured. One sentence."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as in `run.json`. In `summary`, null where a time should be means +inf.

    Attributes:
        schedule_sha256: of instants and picks: equal means the same requests at the same times.
        requests_sha256: of the messages as sent.
        messages: how many different ones.
        candidates: least, median and most per message.
        client_cpu: per process, CPU time / wall time.
    """

    schema: Literal["podium-loadtest"] = "podium-loadtest"
    schema_version: Literal[1] = 1
    created: str
    plan: Plan
    schedule_sha256: str
    requests_sha256: str
    messages: int
    candidates: tuple[int, int, int]
    client_cpu: list[float]
    guards: Guards
    summary: Summary
    judgement: verdict.Judgement
    environment: dict[str, str]

    def encode(self) -> bytes:
        """Indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def execute(plan: Plan, progress: Progress = lambda share: None) -> tuple[Run, Records]:
    """Do what the plan says.

    Raises:
        RunFailed: there is no server, the request set or its labels cannot be used, or a client died.
    """
    try:
        work = workload.load(plan)
        judged = workload.load_judgement(plan, work) if plan.labels else None
    except (OSError, ValueError) as error:
        raise RunFailed(str(error)) from error
    instants = arrivals.poisson(plan.rate_per_s, plan.warm_up_s + plan.duration_s, plan.seed)
    picked = arrivals.picks(len(instants), len(work.messages), plan.seed)
    share = arrivals.shares(len(instants), plan.processes, plan.seed)
    done = _send(
        [sender.Task(plan, instants[share == at], picked[share == at]) for at in range(plan.processes)],
        progress,
    )
    recorded = records.merge([part.records for part in done])
    counts = sorted(work.candidates.tolist())
    run = Run(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        plan=plan,
        schedule_sha256=arrivals.digest(instants, picked),
        requests_sha256=work.sha256,
        messages=len(work.messages),
        candidates=(counts[0], counts[len(counts) // 2], counts[-1]),
        client_cpu=[part.cpu for part in done],
        environment=environment.describe(),
        **msgspec.structs.asdict(_assess(plan, recorded, max(part.cpu for part in done), judged)),
    )
    return run, recorded


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from the records."""

    guards: Guards
    summary: Summary
    judgement: verdict.Judgement


def _assess(
    plan: Plan, recorded: Records, client_cpu: float, judged: workload.Judgement | None
) -> Assessment:
    measured = recorded.since(round(plan.warm_up_s * 1e9))
    numbers = summary.fold(measured, plan.budget_ms, plan.duration_s, judged)
    guards = Guards(
        send_lag_p99_ms=numbers.send_lag.p99_ms or 0.0, client_cpu=client_cpu, unsent=numbers.unsent
    )
    given = verdict.judge(
        numbers.admitted,
        numbers.violations,
        plan.percentile,
        plan.confidence,
        verdict.objections(guards, plan.budget_ms),
    )
    return Assessment(guards=guards, summary=numbers, judgement=given)


def save(run: Run, recorded: Records, folder: Path, report: str) -> None:
    """Write the run's folder: result, records, and the report's HTML.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_bytes(run.encode())
    recorded.save(folder / RECORDS_FILE)
    (folder / REPORT_FILE).write_text(report)


def load(folder: Path) -> Run:
    """Read a run's result.

    Raises:
        ValueError: it is no run, or of another form.
        OSError: it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=Run)
    except msgspec.DecodeError as error:
        raise ValueError(f"{folder / RUN_FILE}: {error}") from error


def _send(tasks: Sequence[sender.Task], progress: Progress) -> list[sender.Done]:
    plan = tasks[0].plan
    whole_s = plan.warm_up_s + plan.duration_s
    with _processes(tasks) as clients:
        for pipe, process in clients:
            refusal = _receive(pipe, process, time.monotonic() + sender.CONNECT_S_MAX + REPLY_S_MAX)
            if refusal:
                raise RunFailed(str(refusal))
        start_s = time.monotonic() + LEAD_S
        for pipe, _ in clients:
            pipe.send(round(start_s * 1e9))
        ends_s = start_s + whole_s + plan.deadline_s + REPLY_S_MAX
        done: list[sender.Done] = []
        for pipe, process in clients:
            while not pipe.poll(0.1) and process.is_alive() and time.monotonic() < ends_s:
                progress(min((time.monotonic() - start_s) / whole_s, 1.0))
            part = _receive(pipe, process, ends_s)
            assert isinstance(part, sender.Done)
            done.append(part)
        progress(1.0)
        return done


@contextlib.contextmanager
def _processes(tasks: Sequence[sender.Task]) -> Iterator[list[tuple[Connection, BaseProcess]]]:
    # Spawned, never forked: gRPC does not survive a fork.
    context = multiprocessing.get_context("spawn")
    clients: list[tuple[Connection, BaseProcess]] = []
    try:
        for task in tasks:
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(target=sender.main, args=(theirs, task), daemon=True)
            process.start()
            theirs.close()
            clients.append((ours, process))
        yield clients
    finally:
        for pipe, process in clients:
            process.join(timeout=1.0)
            process.terminate()
            process.join()
            pipe.close()


def _receive(pipe: Connection, process: BaseProcess, until_s: float) -> object:
    try:
        if pipe.poll(max(until_s - time.monotonic(), 0.0)):
            return pipe.recv()
    except EOFError:
        pass
    raise RunFailed(f"a client process ended or hung without its records (exit code {process.exitcode})")
