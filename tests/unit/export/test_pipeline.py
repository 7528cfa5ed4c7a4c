"""The export as a whole, and its command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from export.cli import main
from export.gates import GateFailed
from export.pipeline import STEPS, export
from export.spec import ExportSpec
from export.variants import KINDS
from tests.export_specs import planted, tiny

ADDRESS = "tests.export_specs.tiny"


def test_a_refusal_leaves_nothing_on_disk(tmp_path: Path) -> None:
    """A gate that refuses does so before the first byte is written."""
    with pytest.raises(GateFailed) as refusal:
        export(tiny.spec_with_too_few_requests(), tmp_path / "models", source="x:y")

    assert refusal.value.gate_name == "agreement"
    assert not (tmp_path / "models").exists()


def test_unknown_variants_are_refused_before_any_work(tmp_path: Path, spec: ExportSpec) -> None:
    """fp32 is the base of every export; other names do not exist."""
    for variants in (("int8",), ("fp32", "int4"), ()):
        with pytest.raises(ValueError):
            export(spec, tmp_path, variants, source="x:y")


def test_progress_names_every_step_in_order(tmp_path: Path, spec: ExportSpec) -> None:
    """An fp32 export passes the steps that concern it, and its bundle has that variant only."""
    seen: list[str] = []

    report = export(spec, tmp_path, ("fp32",), source="x:y", progress=seen.append)

    assert seen == ["reference", "trace", "fp32 gates", "write"] == [step for step in STEPS if step in seen]
    assert report.default_variant == "fp32"
    assert {"fp32"} == {entry.variant for entry in report.variants}
    assert set(report.seconds) == set(seen)
    assert not (tmp_path / "tiny" / "1" / "int8").exists()


def test_what_has_nothing_to_quantise_is_not_worth_serving(tmp_path: Path) -> None:
    """A ranker of one narrow product: every variant is the fp32 graph under another name, and none the
    default."""
    spec = replace(planted.dense_spec(), score=lambda state, features: {"score": features[:, :3].sum(1)})

    report = export(spec, tmp_path, tuple(KINDS), source="x:y")

    assert report.default_variant == "fp32"
    assert {name: name == "fp32" for name in KINDS} == {
        entry.variant: entry.worth_serving for entry in report.variants
    }
    assert all(entry.quantized == [] for entry in report.variants)


def test_the_command_writes_a_bundle_and_prints_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, and --json prints what report.json says."""
    code = main([f"{ADDRESS}:spec", "--out", str(tmp_path), "--variants", "fp32", "--json"])
    printed = json.loads(capsys.readouterr().out)

    assert code == 0
    assert (printed["model"], printed["version"]) == ("tiny", 1)
    assert Path(printed["path"]) == tmp_path / "tiny" / "1"
    assert (tmp_path / "tiny" / "1" / "bundle.json").exists()


def test_the_command_says_in_one_sentence_why_it_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the gate's name and sentence on stderr, no traceback."""
    code = main([f"{ADDRESS}:spec_with_too_few_requests", "--out", str(tmp_path)])
    said = capsys.readouterr().err

    assert code == 1
    assert "refused by gate agreement: 20 requests are too few to judge by" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("no_such_module:spec", "no_such_module"),
        (f"{ADDRESS}:nothing", "has no function 'nothing'"),
        (f"{ADDRESS}:not_a_spec", "returned str, not an ExportSpec"),
        ("plain", "not of the form module:function"),
    ],
)
def test_an_address_that_leads_nowhere_is_explained(
    address: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and what is wrong with the address."""
    assert main([address, "--out", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a:b", "--variants", "int4"], ["a:b", "--no-such-option"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A missing SPEC, an unknown variant, an unknown option."""
    assert main(arguments) == 2
    assert capsys.readouterr().err


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """--help exits 0 and shows a command that can be copied."""
    assert main(["--help"]) == 0
    assert "podium export examples.movies.spec:spec" in capsys.readouterr().out
