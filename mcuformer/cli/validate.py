"""mcuformer validate"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcuformer.cli.console import ProgressLine, print_json
from mcuformer.cli.params import (
    FiniteFloat,
    directory_argument,
    emulator_option,
    json_option,
    timeout_option,
    width_option,
)
from mcuformer.errors import UsageError

if TYPE_CHECKING:
    from mcuformer.package.compiled import CompiledPackage

EMULATED_SAMPLES = 100  # unless --limit says otherwise; the host runs all


@click.command("validate")
@directory_argument
@click.option(
    "--data",
    required=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="An image folder (class order: sorted folder names), an .npz with the inputs and y, or a .npy.",
)
@emulator_option
@timeout_option
@width_option
@click.option("--target", metavar="SERIAL", help="A board on this serial port, not an emulator.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="At most N samples, evenly spread; 0 for all.  [default: 100, all on the host]",
)
@click.option("--per-layer", is_flag=True, help="SQNR and bit-equality of every layer.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="MODEL.onnx",
    help="Where the float model is now.  [default: where it was compiled from]",
)
@click.option(
    "--min-sqnr", type=FiniteFloat(), metavar="DB", help="Exit 5 below this SQNR of the outputs."
)
@click.option(
    "--min-agreement",
    type=FiniteFloat(0, 100),
    metavar="PERCENT",
    help="Exit 5 below this agreement.",
)
@json_option
def command(
    directory: str, data: Path, emulator: str, target: str | None, limit: int | None,
    per_layer: bool, model: Path | None, min_sqnr: float | None, min_agreement: float | None,
    as_json: bool, timeout_s: float | None, width: str | None,
) -> None:  # fmt: skip
    """Compare the compiled model in DIR with labels, the float model and the interpreter; of several
    widths all."""
    from mcuformer.cli.failure import reported
    from mcuformer.cli.render_validate import as_text
    from mcuformer.package.compiled import numbered, open_package, variant_of
    from mcuformer.validate.verdict import verdict

    package = open_package(Path(directory))
    if limit is None and (target or emulator != "host"):
        limit = EMULATED_SAMPLES
    how = (data, emulator, target, limit or None, per_layer, model, timeout_s)
    rows = package.report.get("variants", ())
    if width is not None:
        package, rows = variant_of(package, width), ()
    if not rows:
        documents = [_document(package, *how)]
        document = documents[0]
    else:
        if "adapters" in package.report["options"]:
            raise UsageError(
                "the package has several tasks, and --data is of one",
                f"say which with --task: {', '.join(row['label'] for row in rows)}",
            )
        if model is not None:
            raise UsageError("--model is of one width", "say which with --width")
        documents = [_document(numbered(package, row["number"]), *how) for row in rows]
        document = {"schema_version": 1, "widths": documents}
        for row, own in zip(rows, documents, strict=True):
            own["width"] = row["label"]
    if as_json:
        print_json(document)
    else:
        print("\n\n".join(map(as_text, documents)))
    for own in documents:
        error = verdict(own, min_sqnr, min_agreement)
        if error is not None:
            raise reported(error, as_json)


def _document(
    package: CompiledPackage, data: Path, emulator: str, target: str | None, limit: int | None,
    per_layer: bool, model: Path | None, timeout_s: float | None,
) -> dict[str, Any]:  # fmt: skip
    """Of one program."""
    from mcuformer.validate.device import make_device, make_tracer
    from mcuformer.validate.per_layer import per_layer as layers_of
    from mcuformer.validate.run import validate

    runner = f"target {target}" if target else emulator
    with ProgressLine() as progress, make_device(package, emulator, target, timeout_s) as device:
        document = validate(package, data, limit, model, runner, device, progress)
    if per_layer:
        with (
            ProgressLine() as progress,
            make_tracer(package, emulator, target, timeout_s) as tracer,
        ):
            progress("comparing layers")
            differing = document["bit_exact"]["differing"]
            document["layers"] = layers_of(package, data, model, tracer, limit, differing)
            if tracer.why:
                document["why"]["layers"] = tracer.why
    return document
