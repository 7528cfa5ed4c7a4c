"""report.md."""

import re

import pytest

from loadtest.report import markdown, words
from tests.unit.loadtest.report import example
from tests.unit.loadtest.report.hostile import attacked


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_the_verdict_is_the_title_and_every_rule_is_printed(name: str) -> None:
    """Whatever happened, a reader sees what was found and how it was measured."""
    run, _ = example.EXAMPLES[name]()
    lines = markdown.render(run).splitlines()

    assert f"# {run.judgement.verdict.name}: {words.promise(run)}" == lines[0]
    assert {f"- {rule}" for rule in words.RULES} <= set(lines)


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_every_row_of_a_table_has_as_many_cells_as_its_head(name: str) -> None:
    """What others wrote cannot open a cell, a tag or a link of its own."""
    run, _ = attacked(*example.EXAMPLES[name]())
    blocks = [block for block in markdown.render(run).split("\n\n") if block.startswith("|")]

    for block in blocks:
        assert 1 == len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()})
    assert [] == re.findall(r"(?<!\\)[<`]", markdown.render(run))


def test_names_with_underscores_stay_readable() -> None:
    """QUEUE_FULL needs no escape; an underscore at a word's edge does."""
    assert r"QUEUE_FULL \_x\_" == markdown.escape("QUEUE_FULL _x_")
