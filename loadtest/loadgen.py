"""MLPerf's LoadGen (Server scenario) in a process of its own, with a Ranker as the system under test.

LoadGen decides when a query is due (Poisson), which message it carries and what the latencies say, from the
scheduled instant as ours. It calls us only to send one RPC per query.

LoadGen knows no refusal and no failure: a query is answered, sooner or later, or the test never ends. So
whatever is not an answer is reported to it once the RPC's deadline has passed: late, never as a quick answer.
"""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing
import os
import queue
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import grpc
import msgspec

from loadtest.client.door import MESSAGE_BYTES_MAX, RANK
from loadtest.scenario.form import deadline_s
from loadtest.verdict import Verdict
from protos.request_set import read_messages, write_messages

MODULE: Final = "mlperf_loadgen"
DISTRIBUTION: Final = "mlcommons-loadgen"
SUMMARY_FILE: Final = "mlperf_log_summary.txt"
QUERIES_MIN: Final = 459
"""The fewest of which one can say that 99 % were in time, with 99 % confidence (LoadGen's early stopping)."""
PAST_END_S: Final = 60.0
"""What LoadGen may take beyond the run: its queries in flight, its files."""
CONNECT_S_MAX: Final = 5.0

_MESSAGES_FILE: Final = "messages.part"


class LoadGenFailed(Exception):
    """LoadGen could not do its part. One sentence."""


class LoadGenSays(msgspec.Struct, frozen=True, kw_only=True):
    """LoadGen's result, from its summary file.

    Attributes:
        result: VALID, or INVALID for whatever cause.
        in_time: "Performance constraints satisfied": its percentile of the latencies is within the target.
        enough: early stopping, the least duration and the least count of queries are all satisfied.
        not_answered: queries that were reported to it as late because they ended without an answer.
    """

    result: Literal["VALID", "INVALID"]
    in_time: bool
    enough: bool
    completed_per_s: float
    p50_ms: float
    p99_ms: float
    queries: int
    not_answered: int

    @property
    def verdict(self) -> Verdict:
        """In our words: INVALID is LoadGen's no, be it for long latencies or for too few queries."""
        if self.result == "VALID":
            return Verdict.PASS
        return Verdict.INCONCLUSIVE if self.in_time else Verdict.FAIL


@dataclass(frozen=True, slots=True)
class Order:
    """What LoadGen is to do.

    Attributes:
        folder: for its files.
        percentile: per cent of the queries that must be answered within the budget.
        cores: to run on; empty = anywhere.
    """

    address: str
    connections: int
    folder: Path
    rate_per_s: float
    duration_s: float
    budget_ms: float
    percentile: float
    cores: tuple[int, ...]


def installed() -> bool:
    """Whether the extra `mlperf` is."""
    return importlib.util.find_spec(MODULE) is not None


def measure(order: Order, messages: Sequence[bytes]) -> LoadGenSays:
    """Let LoadGen measure.

    Args:
        messages: serialised RankRequests; LoadGen draws from them with replacement.

    Raises:
        LoadGenFailed: it ended without a result.
        OSError: its folder cannot be written.
    """
    order.folder.mkdir(parents=True, exist_ok=True)
    write_messages(order.folder / _MESSAGES_FILE, messages)
    # A process of its own: LoadGen's threads share no interpreter with ours, and it can be ended.
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    process = context.Process(target=_child, args=(order, told), daemon=True)
    process.start()
    try:
        process.join(order.duration_s + deadline_s(order.budget_ms) + PAST_END_S)
        if process.is_alive() or told.empty():
            raise LoadGenFailed(f"LoadGen ended without a result; its files are in {order.folder}")
        return parse((order.folder / SUMMARY_FILE).read_text(), *told.get())
    finally:
        process.kill()
        process.join()
        (order.folder / _MESSAGES_FILE).unlink(missing_ok=True)


def parse(summary: str, queries: int, not_answered: int) -> LoadGenSays:
    """Read LoadGen's summary.

    Raises:
        LoadGenFailed: it is not one of a Server scenario.
    """

    def found(pattern: str) -> str:
        match = re.search(rf"^\s*{pattern}\s*: (\S+)", summary, re.MULTILINE)
        if match is None:
            raise LoadGenFailed(f"LoadGen's summary does not say {pattern!r}")
        return match[1]

    enough = ("Early stopping satisfied", "Min duration satisfied", "Min queries satisfied")
    return LoadGenSays(
        result="VALID" if found("Result is") == "VALID" else "INVALID",
        in_time=found("Performance constraints satisfied") == "Yes",
        enough=all(found(name) == "Yes" for name in enough),
        completed_per_s=float(found("Completed samples per second")),
        p50_ms=int(found(r"50\.00 percentile latency \(ns\)")) / 1e6,
        p99_ms=int(found(r"99\.00 percentile latency \(ns\)")) / 1e6,
        queries=queries,
        not_answered=not_answered,
    )


def _child(order: Order, told: Any) -> None:
    """Run LoadGen; tell how many queries there were and how many got no answer."""
    import mlperf_loadgen as loadgen

    # LoadGen looks for an audit.config where it runs: here there is none but its own.
    os.chdir(order.folder)
    if order.cores:
        os.sched_setaffinity(0, set(order.cores))
    messages = read_messages(Path(_MESSAGES_FILE))
    system = _System(order, messages, loadgen)
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.Server
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = order.rate_per_s
    settings.server_target_latency_ns = round(order.budget_ms * 1e6)
    settings.server_target_latency_percentile = order.percentile / 100
    settings.min_duration_ms = round(order.duration_s * 1e3)
    settings.min_query_count = QUERIES_MIN
    settings.performance_sample_count_override = len(messages)
    output = loadgen.LogOutputSettings()
    output.outdir = "."
    output.copy_summary_to_stdout = False
    logs = loadgen.LogSettings()
    logs.log_output = output
    logs.enable_trace = False
    under_test = loadgen.ConstructSUT(system.issue, _nothing)
    library = loadgen.ConstructQSL(len(messages), len(messages), _nothing, _nothing)
    loadgen.StartTestWithLogSettings(under_test, library, settings, logs)
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(under_test)
    told.put((system.queries, system.not_answered))


def _nothing(*_: object) -> None:
    """LoadGen's samples are in memory already, and nothing is held back that could be flushed."""


class _System:
    """LoadGen's system under test: sends each query at once, reports its answer as it comes."""

    def __init__(self, order: Order, messages: Sequence[bytes], loadgen: Any) -> None:
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        )
        channels = [grpc.insecure_channel(order.address, options) for _ in range(order.connections)]
        for channel in channels:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_S_MAX)
        self._calls = [channel.unary_unary(RANK) for channel in channels]
        self._messages = messages
        self._loadgen = loadgen
        self._timeout_s = deadline_s(order.budget_ms)
        self._late: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self.queries = 0
        self.not_answered = 0
        threading.Thread(target=self._report_late, daemon=True).start()

    def issue(self, queries: Sequence[Any]) -> None:
        """LoadGen's call: these are due now."""
        for query in queries:
            call = self._calls[self.queries % len(self._calls)]
            self.queries += 1
            due_ns = time.monotonic_ns() + round(self._timeout_s * 1e9)
            future = call.future(self._messages[query.index], timeout=self._timeout_s)
            future.add_done_callback(functools.partial(self._done, query.id, due_ns))

    def _done(self, number: int, late_ns: int, done: Any) -> None:
        if done.code() is grpc.StatusCode.OK:
            self._complete(number)
        else:
            self.not_answered += 1
            self._late.put((late_ns, number))

    def _complete(self, number: int) -> None:
        self._loadgen.QuerySamplesComplete([self._loadgen.QuerySampleResponse(number, 0, 0)])

    def _report_late(self) -> None:
        while True:
            at_ns, number = self._late.get()
            time.sleep(max(at_ns - time.monotonic_ns(), 0) / 1e9)
            self._complete(number)
