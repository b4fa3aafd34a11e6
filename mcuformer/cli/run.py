"""mcuformer run"""

from __future__ import annotations

from pathlib import Path

import click

from mcuformer.cli.console import Progress, print_json
from mcuformer.cli.params import directory_argument, emulator_option, json_option


@click.command("run")
@directory_argument
@click.option(
    "--input",
    "input_file",
    required=True,
    metavar="X.npy",
    type=click.Path(path_type=Path),
    help="One input in the ONNX input's layout and float range.",
)
@click.option("--raw", is_flag=True, help="The input holds the firmware's own integers.")
@emulator_option
@click.option(
    "--output",
    "output_file",
    metavar="Y.npy",
    type=click.Path(path_type=Path),
    help="Where the dequantised outputs go.",
)
@json_option
def command(
    directory: str, input_file: Path, raw: bool, emulator: str, output_file: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Run the compiled model in DIR on one input."""
    from mcuformer.cli.render_run import as_text
    from mcuformer.execution import run_once, save_output
    from mcuformer.package import open_package

    package = open_package(Path(directory))
    with Progress() as progress:
        document = run_once(package, input_file, raw, emulator, progress)
    if output_file is not None:
        save_output(document, output_file)
    if as_json:
        print_json(document)
    else:
        print(as_text(document))
