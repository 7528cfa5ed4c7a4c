"""What `--gate` asks beside the budget: for a pipeline that must say yes or no. Pure."""

from __future__ import annotations

import msgspec

from loadtest.result import Run
from loadtest.verdict import Judgement, Verdict


def judge_gate(run: Run) -> Judgement:
    """The run's verdict, held to the scenario's `[gate]` and to a calibrated client.

    A gate fails closed: what was not measured is INVALID, not passed.
    """
    found = run.judgement
    if found.verdict is not Verdict.PASS:
        return found
    if not run.client.calibrated:
        return _replaced(
            found, Verdict.INVALID, "the client is not calibrated: run `podium loadtest calibrate`"
        )
    gate, numbers, quality = run.scenario.gate, run.summary, run.quality
    refused = 1 - numbers.admitted / max(numbers.scheduled, 1)
    if gate.refused_ratio_max is not None and refused > gate.refused_ratio_max:
        return _replaced(
            found,
            Verdict.FAIL,
            f"{refused:.2%} were refused; gate.refused_ratio_max is {gate.refused_ratio_max:.2%}",
        )
    good = numbers.goodput_per_s / max(numbers.offered_per_s, 1e-9)
    if gate.goodput_ratio_min is not None and good < gate.goodput_ratio_min:
        return _replaced(
            found,
            Verdict.FAIL,
            f"{good:.2%} were fully scored in budget; gate.goodput_ratio_min is {gate.goodput_ratio_min:.2%}",
        )
    if gate.ndcg_loss_max is not None:
        if quality is None or quality.losses is None:
            return _replaced(found, Verdict.INVALID, "gate.ndcg_loss_max needs labels and an idle reference")
        loss = quality.losses.reference - quality.losses.perceived
        if loss > gate.ndcg_loss_max:
            return _replaced(
                found,
                Verdict.FAIL,
                f"nDCG@{quality.k} lost {loss:.4f}; gate.ndcg_loss_max is {gate.ndcg_loss_max:.4f}",
            )
    return found


def _replaced(found: Judgement, verdict: Verdict, sentence: str) -> Judgement:
    return msgspec.structs.replace(found, verdict=verdict, sentence=sentence)
