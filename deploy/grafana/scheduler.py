"""The second page: is the plan right, and what keeps the executors busy?"""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard, Row
from deploy.grafana.panel import Panel, Query
from deploy.grafana.promql import MODEL, PROCESS, WHOLE, mean, quantile, share, total

RATIO = "podium_run_prediction_ratio"
AS_PREDICTED = f'{RATIO}_bucket{{le="1.0",{MODEL}}}'
BUSY = "podium_executor_busy_seconds_total"
SLACK = "podium_slack_seconds"
LATE = "podium_late_seconds"
LAG = "podium_loop_lag_seconds"
PAUSE = "podium_gc_pause_seconds"
TOKENS = ("podium_tokens_total", "podium_tokens_computed_total")

_NOW = [
    Panel(
        title="Executors busy",
        says="Share of the executors' time that was spent in runs. At 100 % nothing more can be answered: "
        "what is offered beyond is refused.",
        unit="percentunit",
        decimals=0,
        kind="stat",
        width=6,
        height=5,
        queries=[Query(f"avg(rate({BUSY}{{{PROCESS}}}[$__rate_interval]))")],
    ),
    Panel(
        title="Planned work",
        says="Predicted time until all that was admitted is done, of the server that has most. It stays "
        "below the longest budget: what would end later is refused.",
        unit="s",
        kind="stat",
        width=6,
        height=5,
        queries=[Query(f"max(podium_planned_work_seconds{{{PROCESS}}})")],
    ),
    Panel(
        title="Runs that took longer than predicted",
        says="In the time shown. A prediction is a high quantile: about 5 % of runs are to take longer, of "
        "short runs more, because a neighbour's millisecond is kept free once before each deadline and not "
        "per run.",
        unit="percentunit",
        decimals=1,
        kind="stat",
        width=6,
        height=5,
        queries=[
            Query(
                f"1 - sum(rate({AS_PREDICTED}[{WHOLE}])) / {total(f'{RATIO}_count', over=WHOLE)}", once=True
            )
        ],
        nothing="no runs",
    ),
    Panel(
        title="Executors stuck",
        says="In a run that has taken four times what was predicted, and 50 ms at least. Any is too many.",
        unit="none",
        kind="stat",
        width=6,
        height=5,
        limit=1.0,
        queries=[Query(f"sum(podium_executors_stuck{{{PROCESS}}})")],
    ),
]

_PREDICTED = [
    Panel(
        title="Actual / predicted time of runs",
        says="100 % = as predicted. The median lies below, the p95 about there; far above, too much is "
        "admitted, far below, too little. The scale ends at 800 %.",
        unit="percentunit",
        queries=[Query(quantile(q, RATIO), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))],
    ),
    Panel(
        title="Actual / predicted: how many runs",
        says="Runs per second by their ratio; 1 = as predicted. Two bands: two kinds of runs, or a "
        "neighbour.",
        unit="none",
        kind="heatmap",
        queries=[Query(total(f"{RATIO}_bucket", "le"), "{{le}}")],
    ),
    Panel(
        title="p95 of actual / predicted, by variant",
        says="Which model's predictions are off.",
        unit="percentunit",
        queries=[Query(quantile(0.95, RATIO, "model, variant"), "{{model}}, {{variant}}")],
    ),
    Panel(
        title="Probes",
        says="Runs per second that tested an estimate which admits nothing. None, unless runs have become "
        "much longer than at the warm-up.",
        unit="cps",
        queries=[Query(total("podium_probes_total", "instance", of=PROCESS), "{{instance}}")],
    ),
]

_IN_TIME = [
    Panel(
        title="Slack",
        log=True,
        says="Deadline minus reply, of answers in time. If the tightest are far from 0 while requests are "
        "refused as OVERLOADED, the plan is too careful.",
        unit="s",
        queries=[
            Query(quantile(0.5, SLACK), "half have less"),
            Query(quantile(0.1, SLACK), "one in 10 has less"),
            Query(quantile(0.01, SLACK), "one in 100 has less"),
        ],
    ),
    Panel(
        title="Late by",
        says="Reply minus deadline, of answers that came late.",
        unit="s",
        queries=[Query(quantile(0.5, LATE), "p50"), Query(quantile(0.99, LATE), "p99")],
        nothing="no late answers",
    ),
]

_RUNS = [
    Panel(
        title="Runs",
        says="Per second.",
        unit="cps",
        width=8,
        queries=[Query(total("podium_batch_rows_count", "model"), "{{model}}")],
    ),
    Panel(
        title="Requests per run",
        says="Mean per model. Nothing waits for company: runs hold more requests only where more had come "
        "while an executor was busy.",
        unit="short",
        width=8,
        queries=[
            Query(mean("podium_batch_requests", "model"), "{{model}}"),
            Query(quantile(0.95, "podium_batch_requests"), "p95 of all", dashed=True),
        ],
    ),
    Panel(
        title="Candidates per run",
        says="Mean per model. At most batch.rows_max, unless one request alone has more.",
        unit="short",
        width=8,
        queries=[
            Query(mean("podium_batch_rows", "model"), "{{model}}"),
            Query(quantile(0.95, "podium_batch_rows"), "p95 of all", dashed=True),
        ],
    ),
    Panel(
        title="Padding of histories and texts",
        says="Mean share of a run's cells of variable length that is padding. Models without such inputs "
        "are not in it.",
        unit="percentunit",
        width=8,
        top=1.0,
        queries=[Query(mean("podium_padding_ratio", "model"), "{{model}}")],
        nothing="no such model",
    ),
    Panel(
        title="Padding of candidates",
        says="Share of the tokens computed that is padding, where candidates have lengths and are run in "
        "groups of like length.",
        unit="percentunit",
        width=8,
        top=1.0,
        queries=[Query(f"1 - {share(*TOKENS, 'model, variant')}", "{{model}}, {{variant}}")],
        nothing="no such model",
    ),
    Panel(
        title="Tokens",
        says="Per second, of candidates that have lengths; without padding.",
        unit="cps",
        width=8,
        queries=[Query(total(TOKENS[0], "model, variant"), "{{model}}, {{variant}}")],
        nothing="no such model",
    ),
]

_EXECUTORS = [
    Panel(
        title="Busy, by executor",
        says="Share of its time that each executor spent in runs.",
        unit="percentunit",
        top=1.0,
        queries=[
            Query(
                total(BUSY, "instance, executor", of=PROCESS),
                "{{instance}}, executor {{executor}}",
            )
        ],
    ),
    Panel(
        title="Inside the server",
        says="Requests at the instant of a scrape, over all servers: between arrival and end; of these, "
        "admitted and not yet in a run.",
        unit="short",
        queries=[
            Query(f"sum(podium_in_flight{{{PROCESS}}})", "inside"),
            Query(f"sum(podium_queue_depth{{{PROCESS}}})", "waiting for a run"),
        ],
    ),
    Panel(
        title="Planned work, by server",
        says="Predicted time until all that was admitted is done.",
        unit="s",
        queries=[Query(f"sum by (instance) (podium_planned_work_seconds{{{PROCESS}}})", "{{instance}}")],
    ),
    Panel(
        title="Stuck, by server",
        says="Executors in a run that is overdue. Who is in it is told once the deadline has passed; after "
        "2 s the run is ended by force.",
        unit="short",
        queries=[Query(f"sum by (instance) (podium_executors_stuck{{{PROCESS}}})", "{{instance}}")],
    ),
]

_PAUSES = [
    Panel(
        title="Event loop, p99 of its lateness",
        says="Of a beat every 50 ms. While the loop is late nothing is read and nothing is answered.",
        unit="s",
        width=8,
        queries=[Query(quantile(0.99, LAG, "instance", of=PROCESS), "{{instance}}")],
    ),
    Panel(
        title="Garbage collection, p99 of pauses",
        says="Python's collector stops everything but runs.",
        unit="s",
        width=8,
        queries=[Query(quantile(0.99, PAUSE, "instance", of=PROCESS), "{{instance}}")],
        nothing="no collections",
    ),
    Panel(
        title="Garbage collection, share of time",
        says="More than a percent is worth a look.",
        unit="percentunit",
        width=8,
        queries=[Query(total(f"{PAUSE}_sum", "instance", of=PROCESS), "{{instance}}")],
        nothing="no collections",
    ),
]

SCHEDULER = Dashboard(
    uid="podium-scheduler",
    title="Podium: scheduler",
    says="Is the plan right, and what keeps the executors busy?",
    rows=[
        Row("Now", _NOW),
        Row("Are predictions right?", _PREDICTED),
        Row("How near are the deadlines?", _IN_TIME),
        Row("What shape are runs?", _RUNS),
        Row("Do the executors keep up?", _EXECUTORS),
        Row("Does the process pause?", _PAUSES),
    ],
    links=[("Overview", "podium-overview")],
)
