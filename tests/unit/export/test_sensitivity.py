"""The sensitivity search: the fewest products that must stay fp32, found in few judgements, within a
limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.gates import GateFailed, agreement
from export.gates.evidence import Evidence
from export.int8 import build, build_transformer
from export.int8_report import shortage
from export.quantised import Quantised
from export.sensitivity import Judge, Judgement, find_sensitive
from export.variant_search import sample
from tests.export_specs import planted

NAMES = [f"product_{at}" for at in range(48)]
FOREVER = 1e9


def judge_of(harm: dict[str, float], allowed: float) -> Judge:
    """Harms add up; the sum may not exceed `allowed`."""

    def judge(names: Sequence[str]) -> Judgement:
        total = sum(harm.get(name, 0.0) for name in names)
        return Judgement(total <= allowed, total)

    return judge


@pytest.mark.parametrize("bad", NAMES[::5])
def test_one_bad_product_is_found_alone_and_quickly(bad: str) -> None:
    """Wherever it stands among 48, in at most 2 log2 n + 2 judgements, each of the others being a bit bad."""
    judge = judge_of(dict.fromkeys(NAMES, 0.0001) | {bad: 0.5}, 0.02)

    search = find_sensitive(NAMES, judge, seconds_max=FOREVER)

    assert [bad] == list(search.excluded)
    assert "alone it lowers Kendall tau by 0.5000" in search.excluded[bad]
    assert "passes" == search.ended
    assert search.judgements <= 2 * math.ceil(math.log2(len(NAMES))) + 2


def test_nothing_is_excluded_from_what_passes() -> None:
    """One judgement, and done."""
    search = find_sensitive(NAMES, judge_of({}, 0.0), seconds_max=FOREVER)

    assert ({}, "not_needed", 1) == (search.excluded, search.ended, search.judgements)


@given(
    st.lists(st.integers(0, 20), min_size=2, max_size=7).flatmap(
        lambda harms: st.tuples(st.just(harms), st.integers(max(0, min(harms)), sum(harms)))
    )
)
def test_where_harms_add_up_no_smaller_set_would_do(drawn: tuple[list[int], int]) -> None:
    """Against every smaller set of products, tried by force: none of them passes."""
    harms = {f"p{at}": float(harm) for at, harm in enumerate(drawn[0])}
    judge = judge_of(harms, drawn[1])

    search = find_sensitive(list(harms), judge, seconds_max=FOREVER)

    assert judge([name for name in harms if name not in search.excluded]).passes
    for count in range(len(search.excluded)):
        for fewer in combinations(harms, count):
            assert not judge([name for name in harms if name not in fewer]).passes


def test_what_need_not_be_excluded_is_given_back() -> None:
    """d looks worst and is excluded first, but what fails is the pair a and b: d becomes int8 again."""

    def judge(names: Sequence[str]) -> Judgement:
        pair = {"a", "b"} <= set(names)
        return Judgement(not pair, 0.9 * pair + 0.5 * ("d" in names) + 0.1 * ("a" in names))

    search = find_sensitive(["a", "b", "c", "d"], judge, seconds_max=FOREVER)

    assert ("passes", ["a"]) == (search.ended, list(search.excluded))


def test_the_limit_ends_the_search_with_the_best_try() -> None:
    """A clock that goes on by a second per judgement: no judgement starts at or after the limit."""
    now = [0.0]

    def judge(names: Sequence[str]) -> Judgement:
        now[0] += 1.0
        return Judgement(False, float("product_7" in names))

    search = find_sensitive(NAMES, judge, seconds_max=20.0, clock=lambda: now[0])

    assert ("time", 20, 20.0) == (search.ended, search.judgements, search.seconds)
    assert "product_7" in search.excluded
    assert "without it the gates still refuse" in search.excluded["product_7"]
    assert "after 20 s" in str(shortage(search))


def test_when_nothing_helps_one_product_is_left_to_be_refused() -> None:
    """The agreement gate shall refuse with the numbers of the best try."""
    search = find_sensitive(["a", "b", "c"], lambda names: Judgement(False, 0.1), seconds_max=FOREVER)

    assert ("nothing_helps", 2) == (search.ended, len(search.excluded))
    assert "2 products left in fp32" in str(shortage(search))


@pytest.fixture(scope="module")
def dense() -> tuple[planted.Case, Quantised]:
    case = planted.dense()
    return case, build(case.graph, case.evidence, case.calibration)


def test_the_planted_layer_of_a_dense_graph_alone_is_returned(dense: tuple[planted.Case, Quantised]) -> None:
    """Four layers in int8 of which one reads values far from zero: it stays fp32, all others become int8."""
    case, int8 = dense

    assert [case.planted] == list(int8.search.excluded)
    assert "passes" == int8.search.ended
    assert 3 == len(int8.quantized)
    assert case.planted not in int8.quantized
    assert passes(case.evidence, int8)


def test_the_planted_layer_of_a_transformer_alone_is_returned() -> None:
    """Of twelve products the FFN's second, whose inputs are all far from zero; levelling cannot help it."""
    case = planted.transformer()
    int8 = build_transformer(case.graph, case.evidence, case.calibration)

    assert [case.planted] == list(int8.search.excluded)
    assert 11 == len(int8.quantized)
    assert passes(case.evidence, int8)


def test_without_time_the_report_says_so(dense: tuple[planted.Case, Quantised]) -> None:
    """With no second to spend nothing is excluded, and a refusal would name the option."""
    case, _ = dense
    int8 = build(case.graph, case.evidence, case.calibration, search_seconds=0.0)

    assert ("time", 0) == (int8.search.ended, len(int8.search.excluded))
    assert not passes(case.evidence, int8)
    assert "--search-seconds" in str(shortage(int8.search))


def test_the_sample_of_a_transformer_is_bounded_in_candidates(dense: tuple[planted.Case, Quantised]) -> None:
    """256 requests in general; of a transformer with many candidates fewer, but 32 at least; always spread
    out."""
    evidence = dense[0].evidence
    large = [one.take(np.zeros(100, np.int64)) for one in evidence.requests]
    huge = [one.take(np.zeros(1000, np.int64)) for one in evidence.requests[:40]]

    assert 256 == len(sample(evidence, tokens=False)) == len(sample(evidence, tokens=True))
    rows = sample(replace(evidence, requests=tuple(large)), tokens=True)
    assert (40, 0, len(large) - 1) == (len(rows), rows[0], rows[-1])
    assert 32 == len(sample(replace(evidence, requests=tuple(huge)), tokens=True))


def passes(evidence: Evidence, int8: Quantised) -> bool:
    try:
        agreement.check(evidence, int8.subject)
    except GateFailed:
        return False
    return True
