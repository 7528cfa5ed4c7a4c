"""The few shapes of query that the dashboards are made of, each narrowed by their variables.

Raw metrics only: the dashboards work without recording rules.
"""

from __future__ import annotations

PROCESS = 'instance=~"$instance"'
"""Selects series that belong to a server as a whole."""
MODEL = f'model=~"$model",{PROCESS}'
"""Selects series of models."""
STEP = "$__rate_interval"
WHOLE = "$__range"
"""Windows: of one point of a curve; of all that the dashboard shows."""


def total(counter: str, by: str = "", *, of: str = MODEL, over: str = STEP) -> str:
    """Per second, summed over all other labels."""
    return f"sum{_by(by)}(rate({counter}{{{of}}}[{over}]))"


def share(part: str, whole: str, by: str = "", *, over: str = STEP) -> str:
    """Of two counters; NaN where the whole did nothing."""
    return f"{total(part, by, over=over)} / {total(whole, by, over=over)}"


def quantile(q: float, histogram: str, by: str = "", *, of: str = MODEL, over: str = STEP) -> str:
    """Estimated inside a bucket; NaN where nothing was observed."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q:g}, {total(f'{histogram}_bucket', labels, of=of, over=over)})"


def mean(histogram: str, by: str = "", *, of: str = MODEL, over: str = STEP) -> str:
    """Exact; NaN where nothing was observed."""
    above, below = (total(f"{histogram}_{end}", by, of=of, over=over) for end in ("sum", "count"))
    return f"{above} / {below}"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
