"""docs/exporting.md can be followed to the letter."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import pytest

from export.cli import export as command
from export.cli import main
from export.gates import agreement, batch_invariance, parity, quality
from export.variant_search import SEARCH_SECONDS
from export.variants import KINDS

PAGE = Path(__file__).parents[3] / "docs" / "exporting.md"
EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```python\n(.*?)```", re.DOTALL)


def test_the_example_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's file, saved under its name, and the page's command give a bundle with both variants."""
    ((name, code),) = EXAMPLE.findall(PAGE.read_text())
    (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    assert main(["my_ranker:spec", "--out", "models"]) == 0
    assert "accepted: my_ranker 1" in capsys.readouterr().out
    assert {"fp32", "int8"} <= {path.name for path in (tmp_path / "models" / "my_ranker" / "1").iterdir()}


def test_the_page_describes_every_variant() -> None:
    """A row per variant, with the manifest's word for it and the sentence that marks it."""
    page = PAGE.read_text()
    rows = {line.split("|")[1].strip(" `"): line for line in page.splitlines() if line.startswith("| `")}
    for name, kind in KINDS.items():
        assert kind.quantization == "none" or f"`{kind.quantization}`" in rows[name]
        for note in kind.notes:
            assert note.rpartition("; ")[2] in rows[name]
        assert ("depends_on_batch_mates: true" in rows[name]) is kind.depends_on_batch_mates
    assert signature(command).parameters["search_seconds"].default == SEARCH_SECONDS
    assert f"`--search-seconds` ({SEARCH_SECONDS:.0f})" in page


def test_the_page_names_the_thresholds_in_force() -> None:
    """Numbers in the table of gates are those of the code."""
    page = PAGE.read_text()
    rows = {line.split("|")[1].strip(" `"): line for line in page.splitlines() if line.startswith("| `")}
    int8, fp32 = agreement.THRESHOLDS["int8"], agreement.THRESHOLDS["fp32"]

    assert (parity.MAX_ERROR, parity.P99_ERROR) == (1e-4, 1e-5)
    assert "1e-4 (99 %: 1e-5)" in rows["parity"]
    assert f"tau < {int8.tau_mean:g}, top-10 overlap < {int8.top10_overlap_mean:g}" in rows["agreement"]
    assert f"5th percentile < {int8.top10_overlap_p5:g}" in rows["agreement"]
    assert f"in < {int8.top1_mean:.0%} of".replace("%", " %") in rows["agreement"]
    assert f"fp32: {fp32.tau_mean:g}, {fp32.top10_overlap_mean:g}, 1.0, 99 %" in rows["agreement"]
    half = agreement.THRESHOLDS["fp16"]
    said = f"tau {half.tau_mean:g}, top-10 overlap {half.top10_overlap_mean:g}"
    said += f" (5th percentile {half.top10_overlap_p5:g}), the same best candidate in {half.top1_mean:.0%}"
    assert said.replace("%", " %") in page
    assert quality.LOSS_MAX["fp16"] == quality.LOSS_MAX["fp32"]
    for other in ("int8-weights", "int8-dynamic"):
        assert agreement.THRESHOLDS[other] == int8
        assert quality.LOSS_MAX[other] == quality.LOSS_MAX["int8"]
    assert batch_invariance.TOLD == {"int8-dynamic"}
    assert f"{quality.LOSS_MAX['fp32']:.1%} (fp32) or {quality.LOSS_MAX['int8']:.1%}" in rows[
        "quality"
    ].replace(" %", "%")
    drift = batch_invariance.DRIFT_MAX
    assert f"{drift['fp32']:.2%} (fp32) or {drift['int8']:.0%} (int8)" in rows["batch_invariance"].replace(
        " %", "%"
    )
