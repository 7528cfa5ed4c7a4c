"""`podium inspect`: what a bundle says about itself, and whether its files are what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from podium.cli.failure import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protos.manifest import Manifest, Variant

_REPORT_FILE = "report.json"
COST_ROWS = (20, 100, 500)
"""Candidates of one request for which the learned mean run time is shown."""
_VERDICT_STYLE = {"pass": "green", "fail": "red"}


def add_to(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command(epilog="example: podium inspect models/movies/1")
    def inspect(
        bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="folder NAME/VERSION")],
        as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
        state_dir: Annotated[
            Path | None, typer.Option(help="a server's state_dir: show what runs have cost there")
        ] = None,
    ) -> None:
        """Verify a bundle's files and show its manifest, variants, gates and learned costs."""
        from protos.manifest import digest
        from server.cost_store import kept
        from server.engine.bundle import BadBundle, open_bundle

        try:
            manifest = open_bundle(bundle.resolve()).manifest
            gates = _gates(bundle)
            costs = []
            if state_dir is not None:
                costs = kept(state_dir, manifest.model, manifest.version, digest(manifest))
        except (BadBundle, OSError, ValueError) as error:
            fail("inspect", error)
        if as_json:
            found = {"verified": True, "manifest": manifest, "gates": gates, "costs": costs}
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
            return
        _print(manifest, gates)
        if state_dir is not None:
            _print_costs(costs, state_dir)


def _gates(bundle: Path) -> list[dict[str, Any]]:
    """The export's own report, when it came along: a bundle serves without it."""
    path = bundle / _REPORT_FILE
    if not path.exists():
        return []
    gates: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())["gates"]
    return gates


def _print(manifest: Manifest, gates: list[dict[str, Any]]) -> None:
    console = Console()
    size_mib = sum(file.bytes for file in manifest.files) / 2**20
    scoring = manifest.scoring
    console.print(
        f"[bold]{manifest.model} {manifest.version}[/], made {manifest.created}, "
        f"budget {manifest.budget_ms:g} ms at p99; {scoring.kind}, {scoring.layout}, "
        f"at most {manifest.axes['N'].max} candidates; "
        f"{len(manifest.files)} files, {size_mib:.1f} MiB, [green]all verified[/]",
        soft_wrap=True,
        highlight=False,
    )
    inputs = Table("input", "role", "dtype", "shape", "vocabulary", box=None, pad_edge=False)
    for entry in manifest.inputs:
        shape = escape(f"[{', '.join(map(str, entry.shape))}]")
        inputs.add_row(entry.name, entry.role, entry.dtype, shape, entry.vocab or "")
    console.print(inputs)
    if len(manifest.outputs) > 1 or manifest.outputs[0].activation != "identity":
        console.print(_heads(manifest))
    console.print(_variants(manifest))
    if gates:
        table = Table("gate", "variant", "verdict", "what it found", box=None, pad_edge=False)
        for gate in gates:
            style = _VERDICT_STYLE.get(gate["verdict"], "yellow")
            verdict = f"[{style}]{gate['verdict']}[/]"
            table.add_row(gate["gate"], gate["variant"], verdict, escape(gate["sentence"]))
        console.print(table)


def _print_costs(costs: Sequence[Any], state_dir: Path) -> None:
    """Mean run times of one request by candidates, as servers over this state_dir have learned them."""
    console = Console()
    if not costs:
        console.print(f"no learned costs of this bundle in {state_dir}", highlight=False)
        return
    table = Table("mean run of one request", *map(str, COST_ROWS), "runs", box=None, pad_edge=False)
    for cost in costs:
        means = [f"{cost.mean_ns(1, rows) / 1e6:.2f} ms" for rows in COST_ROWS]
        table.add_row(cost.variant, *means, f"{cost.runs:,}")
        console.print(f"learned on {cost.machine}", soft_wrap=True, highlight=False)
    console.print(table)


def _heads(manifest: Manifest) -> Table:
    table = Table("head", "weight", "activation", "calibration", box=None, pad_edge=False)
    for output in manifest.outputs:
        fitted = output.calibration
        text = "-"
        if fitted is not None:
            text = (
                f"slope {fitted.slope:.3f}, intercept {fitted.intercept:+.3f}: "
                f"error {fitted.error_before:.4f} to {fitted.error_after:.4f}"
            )
        table.add_row(output.head, f"{manifest.combine.weights[output.head]:g}", output.activation, text)
    return table


def _variants(manifest: Manifest) -> Table:
    columns = ("variant", "tau", "top-10 overlap", "quality", "batch drift", "speed-up", "quantization")
    table = Table(*columns, box=None, pad_edge=False)
    for name, variant in manifest.variants.items():
        label = f"{name} (default)" if name == manifest.default_variant else name
        if not variant.worth_serving:
            label += " (not worth serving)"
        table.add_row(label, *_measured(variant), variant.quantization)
    return table


def _measured(variant: Variant) -> list[str]:
    agreement, quality, invariance = variant.agreement, variant.quality, variant.batch_invariance
    speeds = variant.speedup_over_fp32.values()
    drift = "-" if invariance is None else "none" if invariance.bitwise else f"{invariance.max_abs:.2g}"
    return [
        "-" if agreement is None else f"{agreement.tau_mean:.4f}",
        "-" if agreement is None else f"{agreement.top10_overlap_mean:.4f}",
        "-" if quality is None else f"{quality.value:.4f} ({quality.delta_rel:+.2%})",
        drift,
        f"{min(speeds):.2f} to {max(speeds):.2f}" if speeds else "-",
    ]
