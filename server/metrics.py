"""Every number this server publishes. Names are public API; labels come from enums and loaded names only.

Accumulators are plain lists and dicts, written on the event loop by one thread; one custom collector turns
them into families at scrape time. Gauges are pulled from their owner, so that they cannot drift.
"""

from __future__ import annotations

import gc
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from server.core.decisions import Snapshot
from server.domain import Importance, TokensRun
from server.errors import RULES, Kind, Reason

LATENCY_MS = (
    0.25,
    0.5,
    1,
    2,
    3,
    5,
    7.5,
    10,
    15,
    20,
    30,
    40,
    50,
    75,
    100,
    150,
    250,
    500,
    1000,
    2500,
    5000,
    10000,
)
"""Ladder of all duration histograms; configured budgets are added, so that "within budget" is exact."""
ROWS = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0)
REQUESTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SHARE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RATIO = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 8.0)

CAUSES = ("late", Kind.EXPIRED.value, Kind.FAILED.value)
"""Why an admitted request was not answered in its budget."""
SCORED = "scored"
UNKNOWN = "unknown"
"""Label of a request whose model is not one of ours: a caller's text must not become a label."""

Labels = tuple[str, ...]


class Counter:
    """Sums by label values."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name, self.text, self.labels = name, text, list(labels)
        self.values: dict[Labels, float] = {}

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self.values[labels] = self.values.get(labels, 0.0) + amount

    def family(self) -> Metric:
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for labels, value in list(self.values.items()):
            family.add_metric(list(labels), value)
        return family


class Histogram:
    """Bucket counts by label values."""

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name, self.text, self.labels = name, text, list(labels)
        self.bounds = tuple(sorted(bounds))
        self.counts: dict[Labels, list[int]] = {}
        self.sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        counts = self.counts.get(labels)
        if counts is None:
            counts = self.touch(labels)
        counts[bisect_left(self.bounds, value)] += 1
        self.sums[labels] += value

    def touch(self, labels: Labels) -> list[int]:
        """Begin a series at zero, so that a rate exists before the first observation."""
        self.sums.setdefault(labels, 0.0)
        return self.counts.setdefault(labels, [0] * (len(self.bounds) + 1))

    def family(self) -> Metric:
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        names = [_number(bound) for bound in self.bounds] + ["+Inf"]
        for labels, counts in list(self.counts.items()):
            total, buckets = 0, []
            for name, count in zip(names, list(counts), strict=True):
                total += count
                buckets.append((name, float(total)))
            family.add_metric(list(labels), buckets, self.sums[labels])
        return family


class Metrics(Collector):
    """All accumulators; registered once per server."""

    def __init__(self, models: Iterable[str], budgets_s: Iterable[float]) -> None:
        ladder = sorted({*(ms / 1e3 for ms in LATENCY_MS), *budgets_s})
        self.requests = Counter(
            "podium_requests", "Requests answered, by outcome.", ["model", "version", "outcome"]
        )
        self.refusals = Counter("podium_refusals", "Requests refused.", ["model", "kind", "reason"])
        self.budget_requests = Counter(
            "podium_budget_requests", "Admitted requests: the SLI's denominator.", ["model", "importance"]
        )
        self.budget_violations = Counter(
            "podium_budget_violations",
            "Admitted requests not fully answered in budget.",
            ["model", "importance", "cause"],
        )
        self.steps = Counter("podium_step", "Answers by step of the quality ladder.", ["model", "step"])
        self.candidates = Counter("podium_candidates", "Candidates by outcome.", ["model", "outcome"])
        self.executor_busy = Counter("podium_executor_busy_seconds", "Time spent in runs.", ["executor"])
        self.request_duration = Histogram(
            "podium_request_duration_seconds", "Arrival to reply built.", ["model", "answer"], ladder
        )
        self.refusal_duration = Histogram(
            "podium_refusal_duration_seconds", "Arrival to refusal.", ["kind"], ladder
        )
        self.stage_duration = Histogram(
            "podium_stage_duration_seconds", "Time by stage.", ["model", "stage"], ladder
        )
        self.batch_rows = Histogram("podium_batch_rows", "Candidates per run.", ["model"], ROWS)
        self.batch_requests = Histogram("podium_batch_requests", "Requests per run.", ["model"], REQUESTS)
        self.padding_ratio = Histogram(
            "podium_padding_ratio",
            "Share of a run's variable-length cells that is padding.",
            ["model"],
            SHARE,
        )
        self.prediction_ratio = Histogram(
            "podium_run_prediction_ratio", "Actual / predicted run time.", ["model", "variant"], RATIO
        )
        self.slack = Histogram("podium_slack_seconds", "Deadline - reply, when in time.", ["model"], ladder)
        self.late = Histogram("podium_late_seconds", "Reply - deadline, when late.", ["model"], ladder)
        self.loop_lag = Histogram("podium_loop_lag_seconds", "Lateness of a 50 ms beat.", [], ladder)
        self.gc_pause = Histogram("podium_gc_pause_seconds", "Garbage collector pauses.", [], ladder)
        self._accumulators = [
            value for value in vars(self).values() if isinstance(value, Counter | Histogram)
        ]
        self._scheduler: Callable[[], Snapshot] | None = None
        self._in_flight: Callable[[], int] = int
        self._tokens: Callable[[], Mapping[tuple[str, str], TokensRun]] = dict
        self._versions: Callable[[], list[Labels]] = list
        self._budgets_s: Callable[[], Mapping[Labels, float]] = dict
        for model in models:  # a rate exists before the first failure
            for reason in Reason:
                self.refusals.add(model, RULES[reason].kind.value, reason.value, amount=0.0)
            for importance in Importance:
                name = importance.name.lower()
                self.budget_requests.add(model, name, amount=0.0)
                for cause in CAUSES:
                    self.budget_violations.add(model, name, cause, amount=0.0)
        for kind in Kind:
            self.refusal_duration.touch((kind.value,))

    def pull(
        self,
        scheduler: Callable[[], Snapshot],
        in_flight: Callable[[], int],
        versions: Callable[[], list[Labels]],
        tokens: Callable[[], Mapping[tuple[str, str], TokensRun]] = dict,
        budgets_s: Callable[[], Mapping[Labels, float]] = dict,
    ) -> None:
        """Name the owners of the gauges; called from the scraping thread, so they only read.

        Args:
            versions: (model, version, variant, state, refused_by) of every known variant.
            tokens: what was run so far by (model, variant), of those whose candidates have lengths.
            budgets_s: by (model, importance), of who names no version.
        """
        self._tokens, self._budgets_s = tokens, budgets_s
        self._scheduler, self._in_flight, self._versions = scheduler, in_flight, versions

    def begin(self, model: str, version: str) -> None:
        """A version serves: its rates, and shares of them, are true from the first request on."""
        for outcome in (SCORED, *(kind.value for kind in Kind)):
            self.requests.add(model, version, outcome, amount=0.0)
        self.steps.add(model, "full", amount=0.0)
        self.request_duration.touch((model, SCORED))
        self.slack.touch((model,))
        self.late.touch((model,))

    def watch_gc(self) -> None:
        """Measure every garbage collection of this process from now on."""
        began_ns = 0
        self.gc_pause.touch(())

        def watch(phase: str, _info: dict[str, int]) -> None:
            nonlocal began_ns
            if phase == "start":
                began_ns = time.perf_counter_ns()
            else:
                self.gc_pause.observe((time.perf_counter_ns() - began_ns) / 1e9)

        gc.callbacks.append(watch)

    def outcomes(self) -> dict[str, int]:
        """Requests so far by outcome, over all models."""
        totals: dict[str, int] = {}
        for (_, _, outcome), count in list(self.requests.values.items()):
            if count:
                totals[outcome] = totals.get(outcome, 0) + int(count)
        return totals

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus_client at every scrape."""
        for accumulator in self._accumulators:
            yield accumulator.family()
        if self._scheduler is not None:
            now = self._scheduler()
            yield _gauge("podium_queue_depth", "Waiting requests.", now.queue_depth)
            yield _gauge("podium_planned_work_seconds", "Predicted time to done.", now.planned_work_ns / 1e9)
            yield _gauge("podium_executors_stuck", "Executors in a run that is overdue.", now.executors_stuck)
            probes = CounterMetricFamily("podium_probes", "Runs that tested an estimate that admits nothing.")
            probes.add_metric([], now.probes)
            yield probes
        yield from _token_counters(self._tokens())
        yield _gauge("podium_in_flight", "Requests inside.", self._in_flight())
        info = GaugeMetricFamily(
            "podium_model_info",
            "Variants by state.",
            labels=["model", "version", "variant", "state", "refused_by"],
        )
        for labels in self._versions():
            info.add_metric(list(labels), 1.0)
        yield info
        budgets = GaugeMetricFamily(
            "podium_budget_seconds",
            "Budget by importance, of the newest version.",
            labels=["model", "importance"],
        )
        for labels, seconds in self._budgets_s().items():
            budgets.add_metric(list(labels), seconds)
        yield budgets


def _token_counters(run: Mapping[tuple[str, str], TokensRun]) -> Iterator[Metric]:
    """The share of padding is 1 - tokens / computed."""
    labels = ["model", "variant"]
    tokens = CounterMetricFamily("podium_tokens", "Tokens of the candidates that were run.", labels=labels)
    computed = CounterMetricFamily(
        "podium_tokens_computed", "The same, with the padding that was run beside them.", labels=labels
    )
    for key, counted in run.items():
        tokens.add_metric(list(key), counted.tokens)
        computed.add_metric(list(key), counted.computed)
    yield tokens
    yield computed


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _number(bound: float) -> str:
    return repr(float(bound))
