"""The repository's Python files, and what each of them imports, by reading and never by importing.

Rule: an import inside a function is lazy; one under `if TYPE_CHECKING` is not executed, yet counts for the
direction: a type of a forbidden part is a dependency on it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("protos", "measures", "http2", "server", "export", "loadtest", "podium", "examples", "benchmarks")
"""Our import packages that ship, and the benchmarks."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import as written.

    Attributes:
        importer, imported: dotted module names; for `from a import b` the imported is `a.b` if that is a
            module of ours, else `a`.
        lazy: inside a function.
        typing_only: under `if TYPE_CHECKING`.
    """

    importer: str
    imported: str
    lazy: bool = False
    typing_only: bool = False

    @property
    def top(self) -> str:
        """The package that is imported."""
        return self.imported.split(".")[0]

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported}"


def python_files(part: str) -> list[Path]:
    """All modules of a part."""
    return sorted(path for path in (REPOSITORY / part).rglob("*.py") if "__pycache__" not in path.parts)


def module_name(path: Path) -> str:
    """Dotted name of a file of ours; a package goes by its folder's name."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> frozenset[str]:
    """Every module of ours."""
    return frozenset(module_name(path) for part in PARTS for path in python_files(part))


@cache
def imports_of(part: str) -> tuple[Import, ...]:
    """Everything that the modules of a part import, ours and others'."""
    return tuple(
        found
        for path in python_files(part)
        for found in _read(module_name(path), ast.parse(path.read_text(), str(path)))
    )


def _read(importer: str, tree: ast.AST, lazy: bool = False, typing_only: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(importer, alias.name, lazy, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer} uses a relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                imported = inner if inner in modules() else node.module
                yield Import(importer, imported, lazy, typing_only)
        in_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        yield from _read(importer, node, lazy or in_function, typing_only or for_types)
