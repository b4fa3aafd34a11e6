"""mcuformer export"""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="MODEL.onnx"
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="X.npz",
    help="Also write training images for compile --calibration.",
)
@click.option("--dynamo", is_flag=True, help="torch's newer exporter (needs onnxscript).")
def command(directory: Path, output: Path, calibration: Path | None, dynamo: bool) -> None:
    """Write the network that `train` left in DIR as ONNX, mean and std in its metadata."""
    from mcuformer.cli.need_torch import need_torch

    need_torch()
    from mcuformer.search.train_one import export_one

    export_one(directory, output, calibration, dynamo)
    print(f"written to {output}")
