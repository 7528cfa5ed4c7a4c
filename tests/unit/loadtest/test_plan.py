"""A plan that makes no sense is refused before anything is sent."""

import pytest

from loadtest.plan import Plan

SOUND = {"target": "h:1", "requests": "r", "rate_per_s": 1.0, "duration_s": 1.0, "budget_ms": 25.0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_per_s": 0.0},
        {"duration_s": -1.0},
        {"budget_ms": 0.0},
        {"connections": 0},
        {"processes": 0},
        {"warm_up_s": -1.0},
        {"seed": -1},
        {"percentile": 1.0},
        {"confidence": 0.0},
        {"rate_per_s": float("nan")},
    ],
    ids=str,
)
def test_values_out_of_range_are_named(wrong: dict[str, float]) -> None:
    """The error says which value it was."""
    with pytest.raises(ValueError) as caught:
        Plan(**{**SOUND, **wrong})  # type: ignore[arg-type]

    assert next(iter(wrong)) in str(caught.value)


def test_the_rpc_deadline_is_long_beside_the_budget() -> None:
    """Four budgets, at least a second: a shorter one would cut off the tail that is being measured."""
    assert 1.0 == Plan(**SOUND).deadline_s  # type: ignore[arg-type]
    assert 4.0 == Plan(**{**SOUND, "budget_ms": 1000.0}).deadline_s  # type: ignore[arg-type]
