"""What `podium VERB --help` shows."""

import pytest

from podium.cli import main


@pytest.mark.parametrize(
    "verb",
    ["export", "inspect", "serve", "rank", "models", "loadtest run", "loadtest report", "doctor"],
)
def test_every_verb_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the verb, --help ends well and shows a command to copy."""
    assert 0 == main([*verb.split(), "--help"])
    assert f"xample: podium {verb} " in capsys.readouterr().out


def test_no_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """`podium` alone lists the verbs and ends as a mistake would."""
    assert 2 == main([])
    assert "loadtest" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["sing"], ["rank"], ["inspect", "a", "b"], ["rank", "--index", "-1"]])
def test_a_mistyped_command_is_a_usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command that cannot be read ends with 2, and says so on standard error only."""
    assert 2 == main(argv)
    captured = capsys.readouterr()
    assert "" == captured.out
    assert "Usage: podium" in captured.err
