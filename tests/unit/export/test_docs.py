"""docs/exporting.md can be followed to the letter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from export.cli import main
from export.gates import agreement, batch_invariance, parity, quality

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
    assert f"{quality.LOSS_MAX['fp32']:.1%} (fp32) or {quality.LOSS_MAX['int8']:.1%}" in rows[
        "quality"
    ].replace(" %", "%")
    drift = batch_invariance.DRIFT_MAX
    assert f"{drift['fp32']:.2%} (fp32) or {drift['int8']:.0%} (int8)" in rows["batch_invariance"].replace(
        " %", "%"
    )
