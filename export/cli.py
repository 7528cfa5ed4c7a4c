"""`podium export SPEC`: export a ranker from the command line.

Exit codes: 0 the bundle is written, 1 it was refused or failed (one sentence on stderr), 2 usage.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from export.gates import GateResult
    from export.report import Report, VariantReport
    from export.spec import ExportSpec

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_VERDICT_STYLE = {"pass": "green", "inconclusive": "yellow", "warning": "yellow"}


class SpecNotFound(Exception):
    """The address does not lead to an ExportSpec. One sentence."""


@app.command(
    help="Export a PyTorch ranker: trace it, quantise it, judge it against PyTorch, write a bundle.\n\n"
    "Example: podium export examples.movies.spec:spec --out models"
)
def export(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="module:function returning an ExportSpec")],
    out: Annotated[Path, typer.Option(help="folder of models; the bundle goes to OUT/NAME/VERSION")] = Path(
        "models"
    ),
    variants: Annotated[
        str, typer.Option(help="fp32, and any of int8, int8-weights, int8-dynamic, fp16")
    ] = "fp32,int8",
    search_seconds: Annotated[
        float, typer.Option(min=0.0, help="limit of the search for products that int8 must leave in fp32")
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    # torch takes seconds to import: not for --help
    from export import report as reports
    from export.gates import GateFailed
    from export.pipeline import STEPS
    from export.pipeline import export as run
    from export.progress_bar import step_bar
    from export.tracing import ExportFailed
    from export.variants import KINDS

    chosen = tuple(variants.split(","))
    if "fp32" not in chosen or set(chosen) - set(KINDS):
        others = ", ".join([*KINDS][1:])
        raise typer.BadParameter(f"{variants!r} is not fp32 and any of {others}", param_hint="--variants")
    terminal = Console(stderr=True)
    try:
        with step_bar(terminal, STEPS) as progress:
            report = run(
                load_spec(spec), out, chosen, source=spec, progress=progress, search_seconds=search_seconds
            )
    except GateFailed as refusal:
        _fail(f"refused by gate {refusal.gate_name}: {refusal.sentence}")
    except (ExportFailed, SpecNotFound, ValueError, OSError) as error:
        _fail(str(error))
    if as_json:
        sys.stdout.write(reports.encode(report).decode())
    else:
        _print(report)


def load_spec(address: str) -> ExportSpec:
    """Call the function at `module:function`; modules of the working directory are found too.

    Raises:
        SpecNotFound: there is no such module or function, or it returns something else.
    """
    from export.spec import ExportSpec

    module_name, colon, function_name = address.partition(":")
    if not (module_name and colon and function_name):
        raise SpecNotFound(f"{address!r} is not of the form module:function")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SpecNotFound(f"module {module_name!r} cannot be imported: {error}") from error
    function: Callable[[], object] | None = getattr(module, function_name, None)
    if not callable(function):
        raise SpecNotFound(f"module {module_name!r} has no function {function_name!r}")
    spec = function()
    if not isinstance(spec, ExportSpec):
        raise SpecNotFound(f"{address} returned {type(spec).__name__}, not an ExportSpec")
    return spec


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Args:
        argv: arguments without the program's name; None = those of the process.
    """
    try:
        app(args=None if argv is None else list(argv), prog_name="podium export")
    except SystemExit as end:  # typer's way of returning an exit code, after printing usage errors itself
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _print(report: Report) -> None:
    console = Console()
    console.print(_gates_table(report.gates))
    if (judged := report.variants[-1]).slices:
        console.print(_slices_table(judged))
    if report.prior_ndcg is not None:
        console.print(f"nDCG@10: order as it came {report.prior_ndcg:.4f}", end="")
        console.print(f", PyTorch {report.variants[0].quality.reference:.4f}", end="")
        console.print("".join(f", {entry.variant} {entry.quality.value:.4f}" for entry in report.variants))
    console.print(
        f"[green]accepted[/]: {report.model} {report.version}, default variant {report.default_variant}; "
        f"report: {Path(report.path) / 'report.html'}",
        soft_wrap=True,
    )


def _gates_table(gates: Sequence[GateResult]) -> Table:
    table = Table("gate", "variant", "verdict", "what it found", box=None, pad_edge=False)
    for gate in gates:
        verdict = f"[{_VERDICT_STYLE[gate.verdict]}]{gate.verdict}[/]"
        table.add_row(gate.gate, gate.variant, verdict, gate.sentence)
    return table


def _slices_table(judged: VariantReport) -> Table:
    columns = (f"slice ({judged.variant})", "verdict", "requests", "nDCG@10 against PyTorch", "Kendall tau")
    table = Table(*columns, box=None, pad_edge=False)
    for one in judged.slices:
        loss, agreed = "-", "-"
        if (found := one.quality) is not None:
            loss = f"{found.value:+.2%} [{found.interval[0]:+.2%}, {found.interval[1]:+.2%}]"
        if (found := one.agreement) is not None:
            agreed = f"{1 + found.value:.4f} [{1 + found.interval[0]:.4f}, {1 + found.interval[1]:.4f}]"
        verdict = f"[{_VERDICT_STYLE[one.verdict]}]{one.verdict}[/]"
        for found in (one.quality, one.agreement):
            if found is not None and found.requests_needed is not None:
                verdict += f": has {found.requests:,}, needs {found.requests_needed:,}"
                break
        name = escape(f"{one.dimension} {one.name}")
        table.add_row(
            name, verdict, f"{one.requests:,}", loss.replace("[", "\\["), agreed.replace("[", "\\[")
        )
    return table


def _fail(sentence: str) -> None:
    Console(stderr=True).print(f"[red]export failed[/]: {sentence}", soft_wrap=True, markup=True)
    raise typer.Exit(1)
