"""A capacity in words."""

from __future__ import annotations

from loadtest.capacity import Capacity


def lines(found: Capacity) -> list[str]:
    """For the terminal: the interval first."""
    slo = found.scenario.slo
    low = "below the rates tried" if found.low_per_s is None else f"{found.low_per_s:.0f}"
    high = "above the rates tried" if found.high_per_s is None else f"{found.high_per_s:.0f}"
    passed = (
        "no rate passed"
        if found.passed_per_s is None
        else f"largest rate that passed: {found.passed_per_s:.0f}/s"
    )
    estimate = "" if found.estimate_per_s is None else f"estimate {found.estimate_per_s:.0f}/s; "
    said = [
        (
            f"capacity  [{low}, {high}] requests/s (95 %): {slo.percentile:g} % of all requests fully scored "
            f"within {slo.budget_ms:g} ms, refusals counted as broken"
        ),
        f"          {estimate}{passed}; closed-loop ceiling {found.ceiling_per_s:.0f}/s",
    ]
    said += [
        f"          {step.rate_per_s:8.0f}/s  {step.verdict.name:<13} {step.sentence}" for step in found.steps
    ]
    if found.usd_per_million is not None:
        said.append(f"cost      {found.usd_per_million:.2f} USD per million requests")
    said += [f"fleet     {rate:,}/s: {count} replicas" for rate, count in found.replicas.items()]
    return said
