"""The first page: is the budget kept, where does time go, who is refused, which models are here?"""

from __future__ import annotations

from deploy.grafana.dashboard import Dashboard, Row
from deploy.grafana.panel import Panel, Query
from deploy.grafana.promql import MODEL, PROCESS, WHOLE, mean, quantile, share, total

MISSED = ("podium_budget_violations_total", "podium_budget_requests_total")
REFUSED = ("podium_refusals_total", "podium_requests_total")
"""Refusals exist from the start, at 0; answers do not before the first one."""
IN_BUDGET = "podium_slack_seconds_count"
"""Answers that came before their deadline: goodput."""
ANSWER = "podium_request_duration_seconds"
STAGE = "podium_stage_duration_seconds"
BUDGET = f'max by (model) (podium_budget_seconds{{importance="default",{MODEL}}})'
PROMISE = 0.01
"""p99 in budget: of the admitted, one in a hundred may miss it."""
QUANTILES = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))

_KEPT = [
    Panel(
        title="Budget missed",
        says="Of the admitted requests, the share that was late, expired or failed in the time shown. "
        "Counted, not estimated. Promised: at most 1 %. Who was refused was not admitted; see coverage.",
        unit="percentunit",
        decimals=2,
        kind="stat",
        width=6,
        height=5,
        limit=PROMISE,
        queries=[Query(share(*MISSED, over=WHOLE), once=True)],
        nothing="nothing admitted",
    ),
    Panel(
        title="p99 as a share of the budget",
        says="Of the model that is nearest to its budget (default importance), in the time shown. Estimated "
        "inside a bucket of the histogram; the tile on the left is exact.",
        unit="percentunit",
        decimals=0,
        kind="stat",
        width=6,
        height=5,
        limit=1.0,
        queries=[Query(f"max({quantile(0.99, ANSWER, 'model', over=WHOLE)} / {BUDGET})", once=True)],
        nothing="no answers",
    ),
    Panel(
        title="Goodput",
        says="Answers per second that came before their deadline.",
        unit="reqps",
        kind="stat",
        width=6,
        height=5,
        queries=[Query(total(IN_BUDGET))],
    ),
    Panel(
        title="Coverage",
        says="Of all requests that came, the share that got a ranking, in time or late, in the time shown. "
        "The rest was refused: below stands why.",
        unit="percentunit",
        decimals=1,
        kind="stat",
        width=6,
        height=5,
        queries=[Query(f"1 - {share(*REFUSED, over=WHOLE)}", once=True)],
        nothing="no requests",
    ),
    Panel(
        title="Budget missed, by model",
        says="The share of admitted requests that was late, expired or failed. The line is the promise, 1 "
        "%. A gap: nothing was admitted.",
        unit="percentunit",
        limit=PROMISE,
        queries=[Query(share(*MISSED, "model"), "{{model}}")],
    ),
    Panel(
        title="p99 of answers, and the budget",
        log=True,
        says="Arrival to reply built, per model; dashed: its budget for default importance, as the server "
        "has it. Refusals are not in it. A caller may ask for less time than the budget.",
        unit="s",
        queries=[
            Query(quantile(0.99, ANSWER, "model"), "{{model}}"),
            Query(BUDGET, "{{model}}, budget", dashed=True),
        ],
    ),
    Panel(
        title="Offered, admitted, in budget",
        says="Requests per second. Between the first two curves lies what was refused at once; between the "
        "last two what was admitted and missed its budget.",
        unit="reqps",
        queries=[
            Query(total("podium_requests_total"), "offered"),
            Query(total("podium_budget_requests_total"), "admitted"),
            Query(total(IN_BUDGET), "in budget (goodput)"),
        ],
    ),
    Panel(
        title="Missed, by cause",
        says="Admitted requests that missed their budget. late: answered after the deadline. expired: given "
        "up while they waited. failed: a run failed or was lost.",
        unit="reqps",
        stacked=True,
        queries=[Query(total("podium_budget_violations_total", "cause"), "{{cause}}")],
    ),
]

_TIME = [
    Panel(
        title="Time to answer",
        says="Arrival to reply built, of all answers. Estimated inside a bucket of the histogram.",
        unit="s",
        queries=[Query(quantile(q, ANSWER), name) for q, name in QUANTILES],
    ),
    Panel(
        title="Mean time by stage",
        says="What an answer's time is made of; the stages add up. queue: admitted, and waiting for an "
        "executor. form: packing the batch. run: the graph.",
        unit="s",
        stacked=True,
        queries=[Query(mean(STAGE, "stage"), "{{stage}}")],
    ),
    *(
        Panel(
            title=f"{name} by stage",
            log=True,
            says=f"{name} of each stage by itself; unlike means, quantiles do not add up.",
            unit="s",
            width=8,
            queries=[Query(quantile(q, STAGE, "stage"), "{{stage}}")],
        )
        for q, name in QUANTILES
    ),
]

_REFUSED = [
    Panel(
        title="Requests, by outcome",
        says="Every request once, by its end: scored, or the kind of its refusal. Ends that occurred.",
        unit="reqps",
        stacked=True,
        queries=[Query(f"{total('podium_requests_total', 'outcome')} > 0", "{{outcome}}")],
        nothing="no requests",
    ),
    Panel(
        title="Refusals, by reason",
        crowded=True,
        says="Reasons that occurred. OVERLOADED and DISPLACED: there was no room. EXPIRED_...: the deadline "
        "was too near. The rest is the caller's mistake, or ours: server/errors.py has them all.",
        unit="reqps",
        stacked=True,
        queries=[Query(f"{total('podium_refusals_total', 'reason')} > 0", "{{reason}}")],
        nothing="no refusals",
    ),
    Panel(
        title="Share refused, by model",
        says="Of the requests for a model, the share that got no ranking. unknown: there is no such model "
        "here.",
        unit="percentunit",
        width=8,
        top=1.0,
        queries=[Query(share(*REFUSED, "model"), "{{model}}")],
    ),
    Panel(
        title="p99 of the time to a refusal",
        says="Arrival to refusal, by kind: a no that comes late is no help. Models are not told apart here.",
        unit="s",
        width=8,
        queries=[
            Query(
                f"{quantile(0.99, 'podium_refusal_duration_seconds', 'kind', of=PROCESS)}"
                f" and {total('podium_refusal_duration_seconds_count', 'kind', of=PROCESS)} > 0",
                "{{kind}}",
            )
        ],
        nothing="no refusals",
    ),
    Panel(
        title="Budget missed, by importance",
        says="The share of admitted requests of a class that missed its budget. In an overload the "
        "sheddable are refused first; who is admitted is to be answered in time, whatever the class.",
        unit="percentunit",
        width=8,
        limit=PROMISE,
        queries=[Query(share(*MISSED, "importance"), "{{importance}}")],
    ),
]

_MODELS = [
    Panel(
        title="Versions and variants",
        says="What the servers know, and on how many of them. refused: it failed a check when it was "
        "loaded; the server's log and status page say which.",
        unit="none",
        kind="table",
        queries=[
            Query(f"sum by (model, version, variant, state) (podium_model_info{{{MODEL}}})", once=True),
        ],
    ),
    Panel(
        title="Answers, by step",
        says="Steps of the quality ladder; today every answer is full.",
        unit="reqps",
        width=6,
        stacked=True,
        queries=[Query(total("podium_step_total", "step"), "{{step}}")],
    ),
    Panel(
        title="Candidates",
        says="Per second. invalid: left without a score because a value of theirs was not finite, where the "
        "model's bundle allows that.",
        unit="cps",
        width=6,
        stacked=True,
        queries=[Query(total("podium_candidates_total", "outcome"), "{{outcome}}")],
    ),
]

OVERVIEW = Dashboard(
    uid="podium-overview",
    title="Podium: overview",
    says="Is the budget kept, where does time go, who is refused, which models are here?",
    rows=[
        Row("Is the budget kept?", _KEPT),
        Row("Where does time go?", _TIME),
        Row("Who is refused?", _REFUSED),
        Row("Models", _MODELS),
    ],
    links=[("Scheduler", "podium-scheduler")],
)
