"""Static int8 of rewritten transformers: ranges, outliers, levelling, and scores that do not drift."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from export.codec import Encoded
from export.quantize import OPERATOR, to_int8
from export.runtime import Runner, optimized_op_counts
from export.sites import find_sites
from export.transformer.outliers import outliers
from export.transformer.quantization import Prepared, prepare
from export.transformer.ranges import CANDIDATES_MAX, RUN_CANDIDATES, Columns, column_ranges, runs
from tests.export_specs.cross_encoder import Shape
from tests.unit.export.transformer.cases import Case, case, error, of

PLAIN = Shape()
SPIKED = Shape(outlier=60.0)


def prepared(found: Case) -> Prepared:
    return prepare(found.rewritten.model, found.codec, found.requests)


def int8_scores(found: Case, ready: Prepared, requests: list[Encoded]) -> np.ndarray:
    sites = [site for site in find_sites(ready.model) if site.name in ready.quantizations]
    return Runner(to_int8(ready.model, sites, ready.quantizations)).run(found.codec.feeds(requests))["score"]


@pytest.mark.parametrize("shape", [PLAIN, SPIKED])
def test_preparation_changes_no_score(shape: Shape) -> None:
    """Levelling and the outliers' own products are exact in fp32."""
    found = case(shape)
    got = Runner(prepared(found).model).run(found.feeds)["score"]

    assert error(got, found.exact()) < 1e-5


@pytest.mark.parametrize("shape", [PLAIN, SPIKED, Shape(pooled=True)])
def test_every_linear_layer_runs_in_int8_and_no_other_product(shape: Shape) -> None:
    """Six int8 products per layer after ONNX Runtime's optimisations; the head and the outliers stay fp32."""
    found = case(shape)
    ready = prepared(found)
    sites = [site for site in find_sites(ready.model) if site.name in ready.quantizations]
    counts = optimized_op_counts(to_int8(ready.model, sites, ready.quantizations))

    assert 6 * shape.layers == len(ready.quantizations) == counts[OPERATOR]
    assert 1 + 2 * len(ready.outliers) == counts["Gemm"]
    assert not {"DequantizeLinear", "SkipLayerNormalization", "BiasGelu", "MatMul"} & set(counts)


def test_products_of_one_input_share_one_quantisation() -> None:
    """q, k and v read the same codes; in the last layer q reads the one token's own."""
    found = case(PLAIN)
    ready = prepared(found)
    sites = [site for site in find_sites(ready.model) if site.name in ready.quantizations]
    model = to_int8(ready.model, sites, ready.quantizations)
    readers = Counter(node.input[0] for node in model.graph.node if node.op_type == OPERATOR)

    assert [1, 1, 1, 1, 1, 1, 1, 2, 3] == sorted(readers.values())


@pytest.mark.parametrize("shape", [PLAIN, SPIKED])
def test_int8_scores_are_close_and_do_not_depend_on_the_batch(shape: Shape) -> None:
    """Off by a small part of their spread, and the same to the bit alone, in pairs, and all together."""
    found = case(shape)
    ready = prepared(found)
    together = int8_scores(found, ready, list(found.requests))
    alone = [
        int8_scores(found, ready, [request.take(np.array([row]))])
        for request in found.requests[:5]
        for row in range(request.count)
    ]
    exact = found.exact()

    assert error(together, exact) < 0.2 * exact.std()
    assert 0.0 == error(together[: len(alone)], np.concatenate(alone))


def test_padding_does_not_widen_a_range() -> None:
    """What stands behind the valid tokens changes no range at all."""
    found = case(PLAIN)
    values = sorted({site.x for site in find_sites(found.rewritten.model) if site.pays})
    dirty = []
    for request in found.requests:
        tokens = request.candidates["tokens"].copy()
        tokens[np.arange(tokens.shape[1]) >= request.candidates["tokens_length"][:, None]] = 199
        dirty.append(Encoded(request.context, {**request.candidates, "tokens": tokens}))

    clean = column_ranges(found.rewritten.model, values, found.codec, found.requests)
    again = column_ranges(found.rewritten.model, values, found.codec, dirty)

    assert all(np.array_equal(clean[value].low, again[value].low) for value in values)
    assert all(np.array_equal(clean[value].high, again[value].high) for value in values)


def test_outlier_neurons_are_found_where_they_are() -> None:
    """The planted neuron of each layer, and none in a model that has none."""
    assert [[7], [7]] == list(prepared(case(SPIKED)).outliers.values())
    assert {} == prepared(case(PLAIN)).outliers


def test_outliers_are_those_far_beyond_all_that_stay() -> None:
    """Two far ones are taken; slowly falling ones, and more than eight, are not."""

    def columns(*reach: float) -> Columns:
        return of(np.array([[0.0] * len(reach), reach], np.float32))

    assert [1, 3] == outliers(columns(1.0, 20.0, 1.1, 9.0, 0.9))
    assert [] == outliers(columns(1.0, 1.2, 1.4, 1.6))
    assert [] == outliers(columns(*[10.0] * 9, 1.0))
    assert [] == outliers(columns(0.0, 0.0))


def test_taking_outliers_out_makes_the_steps_smaller() -> None:
    """Without it the FFN's range would be that of one neuron."""
    found = case(SPIKED)
    ready = prepared(found)
    hidden = next(iter(ready.outliers))
    whole = column_ranges(found.rewritten.model, [hidden], found.codec, found.requests)[hidden]
    scale = next(ready.quantizations[site.name].scale for site in find_sites(ready.model) if site.x == hidden)

    assert scale < whole.reach.max() / 255 / 5


def test_calibration_runs_few_candidates_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded in one run and in all, and every request is heard."""
    found = case(PLAIN)
    requests = [found.requests[row % 40].take(np.zeros(100, np.int64)) for row in range(60)]
    made = list(runs(requests))

    assert RUN_CANDIDATES >= max(sum(part.count for part in batch) for batch in made)
    assert CANDIDATES_MAX >= sum(part.count for batch in made for part in batch) > CANDIDATES_MAX / 2
    assert 60 <= sum(len(batch) for batch in made)
