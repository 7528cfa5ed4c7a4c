"""heads: every head of a variant orders like its PyTorch original, whatever its weight in the sum.

A caller may give any head any weight (`head_weights`), so agreement of the bundle's own sum is not enough: a
head of weight 0 could be anything. Kendall's tau-b, with the thresholds of the agreement gate.
"""

from __future__ import annotations

from export.gates import agreement
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult, Number

NAME = "heads"


def check(evidence: Evidence, subject: Subject) -> GateResult | None:
    """Compare each head's order on every request; None for a single head, which agreement has judged.

    Raises:
        GateFailed: a head orders too differently.
    """
    heads = list(evidence.spec.heads)
    if len(heads) == 1:
        return None
    least = agreement.THRESHOLDS[subject.variant].tau_mean
    alone = subject.alone(evidence)
    taus = {
        head: agreement.measure([one[head] for one in evidence.heads], [one[head] for one in alone]).tau_mean
        for head in heads
    }
    numbers: dict[str, Number] = {f"tau_mean {head}": tau for head, tau in taus.items()}
    numbers["tau_mean_least"] = least
    # NaN: PyTorch's own head ties all candidates of every request, so there is no order to lose
    missed = [f"{head} has tau {tau:.4f} < {least:g}" for head, tau in taus.items() if tau < least]
    if missed:
        raise GateFailed(NAME, f"{subject.variant} orders unlike PyTorch: {'; '.join(missed)}", numbers)
    text = ", ".join(f"{head} {tau:.4f}" for head, tau in taus.items())
    return GateResult(
        gate=NAME, variant=subject.variant, sentence=f"Kendall tau per head: {text}", numbers=numbers
    )
