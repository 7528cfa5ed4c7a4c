"""Calibration cannot eat memory: its peak does not grow with the number of requests, nor with their size."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.calibrate import BATCH_ROWS_MAX, batches, calibrate
from export.codec import Codec, Encoded
from export.encoding import OnDemand
from export.sites import find_sites
from export.spec import ExportSpec
from export.transformer.ranges import column_ranges
from tests.export_specs import planted
from tests.export_specs.cross_encoder import Shape
from tests.unit.export.transformer.cases import case

STATUS = Path("/proc/self/status")
CANDIDATES = 400
GROWTH_MAX = 8 << 20
"""Bytes. If values were kept, the larger set would need 150 MB more."""


def peak_of(work: Callable[[], object]) -> int:
    """Bytes by which the process grew while at work, at most."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the greatest resident size so far
    except OSError:
        pytest.skip("this kernel does not let a process reset its own peak")
    before = _bytes("VmRSS")
    work()
    return _bytes("VmHWM") - before


def _bytes(key: str) -> int:
    found = re.search(rf"{key}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.fixture(scope="module")
def dense() -> planted.Case:
    return planted.dense()


def requests_like(codec: Codec, spec: ExportSpec, count: int) -> OnDemand:
    """The same large request over and over: whatever grows is the calibration's."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(CANDIDATES, planted.WIDTH)).astype(np.float32)
    one = replace(spec.calibration[0], candidates={"features": features}, prior_scores=None, labels=None)
    return OnDemand(codec, [one] * count, "calibration")


def test_the_peak_does_not_grow_with_the_requests(dense: planted.Case) -> None:
    """600 requests of 400 candidates (four layers of 64 columns: 245 MB) need what 60 need."""
    codec, spec = dense.evidence.codec, dense.evidence.spec
    sites = [site for site in find_sites(dense.graph) if site.pays]
    few, many = (requests_like(codec, spec, count) for count in (60, 600))
    calibrate(dense.graph, sites, codec, few)  # what only the first time needs

    peaks = [peak_of(lambda some=some: calibrate(dense.graph, sites, codec, some)) for some in (few, many)]

    assert 4 == len(sites)
    assert peaks[1] < peaks[0] + GROWTH_MAX


def test_the_peak_does_not_grow_with_a_transformers_requests() -> None:
    """As many candidates as calibrate, or twenty times as many: the columns' extremes are all that is
    kept."""
    found = case(Shape())
    values = sorted({site.x for site in find_sites(found.rewritten.model) if site.pays})
    few, many = list(found.requests) * 4, list(found.requests) * 80

    def work(some: Sequence[Encoded]) -> object:
        return column_ranges(found.rewritten.model, values, found.codec, some)

    work(few)
    peaks = [peak_of(lambda some=some: work(some)) for some in (few, many)]

    assert peaks[1] < peaks[0] + GROWTH_MAX


def test_a_large_request_is_split(dense: planted.Case) -> None:
    """No run has more candidates than the limit, none is left out, and small requests still share runs."""
    big = dense.evidence.requests[0].take(np.zeros(2 * BATCH_ROWS_MAX + 5, np.int64))
    small = [dense.evidence.requests[1].take(np.zeros(3, np.int64))] * 4

    sizes = [[part.count for part in batch] for batch in batches([big, *small])]

    assert [[BATCH_ROWS_MAX], [BATCH_ROWS_MAX], [5, 3, 3, 3, 3]] == sizes
    assert [[3, 3], [3, 3]] == [[part.count for part in batch] for batch in batches(small, rows_max=7)]


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.zeros((5, 3), np.float32), "input 'features': a request has shape (5, 3), the spec says (N, 64)"),
        (np.zeros((64,), np.float32), "input 'features': a request has shape (64,), the spec says (N, 64)"),
        (np.full((5, 64), np.nan, np.float32), "input 'features': a request has a value that is not finite"),
        (np.zeros((0, 64), np.float32), "candidate columns have lengths [0]"),
    ],
)
def test_calibration_data_that_does_not_fit_is_named_by_its_place(features: np.ndarray, said: str) -> None:
    """Which request of which list, which input, what it has and what it should have."""
    spec = planted.dense_spec()
    wrong = replace(spec.calibration[7], candidates={"features": features}, labels=None)
    with pytest.raises(ValueError) as refusal:
        OnDemand(Codec(spec), [*spec.calibration[:7], wrong], "calibration")

    assert str(refusal.value).startswith("ExportSpec.calibration[7]: ")
    assert said in str(refusal.value)
