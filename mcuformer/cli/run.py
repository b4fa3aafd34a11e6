"""mcuformer run"""

from __future__ import annotations

from pathlib import Path

import click

from mcuformer.cli.console import ProgressLine, print_json
from mcuformer.cli.params import (
    directory_argument,
    emulator_option,
    json_option,
    timeout_option,
    width_option,
)


@click.command("run")
@directory_argument
@click.option(
    "--input",
    "inputs",
    required=True,
    multiple=True,
    metavar="X.npy",
    help="One sample in the ONNX input's layout and float range. For several inputs an .npz with all "
    "of them by name, or NAME=X.npy once for each.",
)
@click.option("--raw", is_flag=True, help="The input holds the firmware's own integers.")
@emulator_option
@timeout_option
@width_option
@click.option(
    "--output",
    "output_file",
    metavar="Y.npy|Y.npz",
    type=click.Path(path_type=Path),
    help="Where the dequantised output goes; .npz: all of them by name.",
)
@json_option
def command(
    directory: str, inputs: tuple[str, ...], raw: bool, emulator: str, output_file: Path | None,
    as_json: bool, timeout_s: float | None, width: str | None,
) -> None:  # fmt: skip
    """Run the compiled model in DIR on one sample."""
    from mcuformer.cli.render_run import as_text
    from mcuformer.package.compiled import open_package, variant_of
    from mcuformer.package.execution import check_output_file, run_once, save_outputs

    package = open_package(Path(directory))
    if width is not None:
        package = variant_of(package, width)
    if output_file is not None:
        check_output_file(package, output_file)
    with ProgressLine() as progress:
        document = run_once(package, inputs, raw, emulator, progress, timeout_s)
    if output_file is not None:
        save_outputs(document, output_file)
    if as_json:
        print_json(document)
    else:
        print(as_text(document))
