"""Names and numbers of a manifest that lead nowhere are found at load."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protos.manifest import Axis, Manifest
from server.engine import references
from tests.bundles.tiny import HALVES, TINY, WORDS, TinyRanker


@pytest.mark.parametrize("ranker", [TINY, WORDS, HALVES], ids=lambda ranker: ranker.name)
def test_a_sound_manifest_has_no_loose_end(ranker: TinyRanker) -> None:
    """What the exporter writes passes, float16 features and string ids too."""
    references.check(ranker.manifest())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: setattr(m.inputs[0], "dtype", "float16"), "input 'history': float16 cannot be an id"),
        (lambda m: setattr(m.inputs[2], "accepts", ["float32"]), "input 'item': float32 cannot be an id"),
        (lambda m: setattr(m.inputs[1], "accepts", ["float32"]), "accepts float32, which int64 cannot hold"),
        (lambda m: setattr(m.inputs[3], "accepts", ["int64", "bool"]), None),
        (lambda m: setattr(m.inputs[3], "shape", ["R", 3]), "input 'features': the first axis"),
    ],
    ids=[
        "ids that are no integers",
        "ids that may be none",
        "an accepted dtype that does not fit",
        "one that does",
        "axes",
    ],
)
def test_a_loose_end_is_named(change: Callable[[Manifest], None], said: str | None) -> None:
    """The input, and what is wrong with it."""
    manifest = TINY.manifest()
    change(manifest)
    if said is None:
        references.check(manifest)
    else:
        with pytest.raises(references.LooseEnd) as caught:
            references.check(manifest)
        assert said in str(caught.value)


def _long(m: Manifest, lengths: str = "features") -> None:
    """The features get a length axis."""
    m.axes["S"] = Axis(max=9, pad="right", lengths=lengths)
    features = m.input("features")
    features.shape, features.dtype = ["N", "S"], "int64"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: None, None),
        (lambda m: m.axes.__setitem__("T", Axis(max=3, lengths="features")), "2 axes with lengths"),
        (lambda m: setattr(m.axes["S"], "lengths", "nobody"), "axes.S.lengths is 'nobody', which is no"),
        (lambda m: setattr(m.input("features"), "dtype", "float32"), "whole numbers, of shape [N] or [N, S]"),
        (lambda m: m.axes.pop("S"), "the first and one that has lengths"),
        (lambda m: setattr(m.input("features"), "shape", ["N"]), "no input has the axis"),
        (lambda m: setattr(m.input("history"), "shape", ["R", "S"]), "is the candidates' length axis"),
    ],
    ids=["sound", "two", "no input", "no whole numbers", "no lengths", "nowhere", "a context's"],
)
def test_a_length_axis_leads_somewhere(change: Callable[[Manifest], None], said: str | None) -> None:
    """One axis, told by a candidate input of whole numbers, right behind N."""
    manifest = TINY.manifest()
    _long(manifest)
    change(manifest)
    if said is None:
        references.check(manifest)
    else:
        with pytest.raises(references.LooseEnd) as caught:
            references.check(manifest)
        assert said in str(caught.value)
