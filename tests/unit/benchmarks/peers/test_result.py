"""Blocks become rows, and rows a table and a figure, with nothing left out."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from benchmarks.peers.figure import svg
from benchmarks.peers.peer import Figure
from benchmarks.peers.result import Block, Row, row_of
from benchmarks.peers.table import markdown

SIZES = (20, 100)
SVG = "{http://www.w3.org/2000/svg}"


def blocks(busy: float = 0.97) -> list[Block]:
    """The machine is twice as fast in the second block; the server always gives half of raw."""
    return [
        {
            "raw": {size: Figure(scale * 1000) for size in SIZES},
            "server": {size: Figure(scale * 500, busy) for size in SIZES},
        }
        for scale in (1, 2, 1)
    ]


def rows(busy: float = 0.97) -> list[Row]:
    return [
        row_of("raw", blocks(), "raw", "version 1"),
        row_of("server", blocks(busy), "raw", "version 2"),
        row_of("gone", blocks(), "raw", "gone is not installed"),
    ]


def test_a_share_is_taken_inside_the_block() -> None:
    """A block on a faster machine moves the rate, not the share."""
    row = rows()[1]
    assert (500, 500, 1000) == (row.rates[20].median, row.rates[20].low, row.rates[20].high)
    assert (0.5, 0.5, 0.5) == (row.shares[20].median, row.shares[20].low, row.shares[20].high)


def test_busy_is_the_worst_size() -> None:
    """One size at which something else limits is enough to say so."""
    measured = [{"s": {20: Figure(1, 0.99), 100: Figure(1, busy)}} for busy in (0.5, 0.6, 0.9)]
    assert row_of("s", measured, "s", "").busy == pytest.approx(0.6)


def test_the_table_has_a_line_per_peer() -> None:
    """Also for one that could not be measured, which says why."""
    lines = markdown(rows(), SIZES).splitlines()
    assert "| server | 500 [500, 1,000] | 0.50 | 500 [500, 1,000] | 0.50 | 97% |" in lines
    assert "| gone | not measured | - | not measured | - | - |" in lines
    assert ["- raw: version 1", "- server: version 2", "- gone: gone is not installed"] == lines[-3:]
    assert 1 == len({line.count("|") for line in lines if line.startswith("|")})


def test_a_core_with_time_to_spare_is_told() -> None:
    """A rate that the server did not limit must not be read as the server's."""
    assert "less than 90% busy was held up" in markdown(rows(busy=0.7), SIZES)
    assert "held up" not in markdown(rows(), SIZES)


def test_the_figure_has_a_bar_per_server_and_size() -> None:
    """Raw is the scale, not a bar; a peer without figures has none."""
    drawn = ET.fromstring(svg(rows(), SIZES))
    bars = [one for one in drawn.iter(f"{SVG}rect") if one.get("fill") != "#ffffff"]
    labels = [one.text for one in drawn.iter(f"{SVG}text")]
    assert len(SIZES) == len(bars)
    assert {"server", "500/s", "20 candidates", "100 candidates"} <= set(labels)
    assert "gone" not in labels
