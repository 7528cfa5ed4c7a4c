"""The manifest: a round trip, tolerance for the new, refusal of the wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from protos.manifest import Manifest, decode, encode

SMALLEST: dict[str, Any] = {
    "format": {"name": "podium-bundle", "major": 1, "minor": 0, "requires": []},
    "model": "movies",
    "version": 3,
    "created": "2026-11-22T18:00:00Z",
    "budget_ms": 25.0,
    "scoring": {},
    "axes": {"R": {"max": 64}, "N": {"max": 4096}},
    "cost_axes": ["N"],
    "inputs": [
        {"name": "features", "role": "candidate", "dtype": "float32", "shape": ["N", 3]},
        {"name": "prior", "role": "prior_score", "dtype": "float32", "shape": ["N"], "when_absent": 0.0},
    ],
    "vocabs": {},
    "outputs": [{"name": "score", "head": "watch"}],
    "combine": {"weights": {"watch": 1.0}},
    "default_variant": "fp32",
    "variants": {
        "fp32": {"graphs": {"fused": "fp32/fused.onnx"}, "providers": ["*"], "quantization": "none"}
    },
    "golden": {"file": "golden.npz", "messages": "golden.podium", "requests": 16, "max_abs": 1e-4},
    "requests": {"file": "requests/eval.podium", "labels": "requests/labels.npz", "count": 1000},
    "source": {},
    "files": [],
}


def decoded(**changes: Any) -> Manifest:
    return decode(msgspec.json.encode(SMALLEST | changes))


def test_what_is_written_is_read() -> None:
    """decode(encode(m)) is m, and what leaves a default stays at it."""
    manifest = decoded()
    assert manifest == decode(encode(manifest))
    assert ("pointwise", "flat", "refuse") == (
        manifest.scoring.kind,
        manifest.scoring.layout,
        manifest.scoring.non_finite_scores,
    )


def test_unknown_keys_are_ignored() -> None:
    """An older server reads what a newer exporter adds; what it must know stands in `format.requires`."""
    assert decoded() == decoded(mascot="hare")


def test_inputs_are_found_by_name() -> None:
    """`input` gives the entry; an unknown name is a KeyError with it."""
    assert "prior_score" == decoded().input("prior").role
    with pytest.raises(KeyError, match="nope"):
        decoded().input("nope")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": 0}, "version must be a positive integer, got 0"),
        ({"version": "3"}, r"Expected `int`, got `str` - at `\$.version`"),
        ({"model": "Movies"}, "model 'Movies' does not match"),
        ({"model": "m" * 64}, "does not match"),
        ({"model": "../movies"}, "does not match"),
        ({"default_variant": "int8"}, "default_variant 'int8' is not a variant"),
        ({"format": {"name": "podium-bundle", "major": 2}}, "format podium-bundle 2 is not podium-bundle 1"),
        ({"format": {"name": "onnx"}}, "format onnx 1 is not"),
        ({"scoring": {"layout": "spiral"}}, r"Invalid enum value 'spiral' - at `\$.scoring.layout`"),
        (
            {"inputs": [{"name": "x", "role": "label", "dtype": "float32", "shape": []}]},
            r"at `\$\.inputs\[0\]\.role`",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_manifest_is_refused_with_the_place(changes: dict[str, Any], complaint: str) -> None:
    """The sentence names the file and the offending key or value."""
    with pytest.raises(ValueError, match=complaint) as refused:
        decoded(**changes)
    assert str(refused.value).startswith("bundle.json: ")


def test_no_json_no_manifest() -> None:
    """Damage that is not even JSON is a ValueError too."""
    with pytest.raises(ValueError, match=r"bundle\.json: "):
        decode(b"\x00not json")


def test_a_missing_key_is_named() -> None:
    """Every field without a default is required."""
    body = {key: value for key, value in SMALLEST.items() if key != "golden"}
    with pytest.raises(ValueError, match="missing required field `golden`"):
        decode(msgspec.json.encode(body))
