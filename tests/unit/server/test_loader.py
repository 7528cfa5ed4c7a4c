"""What counts as a version of a model on disk."""

from __future__ import annotations

from pathlib import Path

from server.loader import find_versions


def test_versions_are_positive_integers_in_folders_newest_first(tmp_path: Path) -> None:
    """By number, not by text; names that are no model's and folders that are no version's are passed over."""
    for name in ("a/2", "a/10", "a/1", "b/7", "a/02", "a/0", "a/-3", "a/3.partial", "a/٣", "A/1", "c", "d/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/99").write_text("a file")
    (tmp_path / "e").write_text("a file")
    (tmp_path / "a" / ("9" * 19)).mkdir()
    assert {"a": [10, 2, 1], "b": [7]} == find_versions(tmp_path)


def test_an_absent_folder_has_no_versions(tmp_path: Path) -> None:
    """Whoever starts a server there is told so, rather than shown a traceback."""
    assert {} == find_versions(tmp_path / "absent")
