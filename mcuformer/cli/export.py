"""mcuformer export"""

from __future__ import annotations

from pathlib import Path

import click

from mcuformer.cli.params import FiniteFloat
from mcuformer.errors import UsageError
from mcuformer.files.atomic import check_file


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
@click.option(
    "--test",
    type=click.Path(path_type=Path),
    metavar="X.npz",
    help="Of `adapt`: also write test images and their classes for validate --data.",
)
@click.option("--fold", is_flag=True, help="Of `adapt`: adapters go into the layers behind them.")
@click.option(
    "--ratio",
    type=FiniteFloat(0, 1, min_open=True),
    metavar="R",
    help="A width of a slimmable training, as a plain network.",
)
@click.option("--dynamo", is_flag=True, help="torch's newer exporter (needs onnxscript).")
def command(
    directory: Path,
    output: Path,
    calibration: Path | None,
    test: Path | None,
    fold: bool,
    ratio: float | None,
    dynamo: bool,
) -> None:
    """Write the network that `train` or `adapt` left in DIR as ONNX, mean and std in its metadata."""
    from mcuformer.cli.need_torch import need_torch

    data = [path for path in (calibration, test) if path is not None]
    files = [check_file(path) for path in (output, *data)]
    if len(set(files)) < len(files):
        raise UsageError(f"{data[-1]} would be two files in one", "give each a name of its own")
    need_torch()
    from mcuformer.search.adapt import ADAPTATION, export_adapted
    from mcuformer.search.train_one import export_one

    if (directory / ADAPTATION).is_file():
        if ratio is not None:
            raise UsageError(
                f"{directory} holds an adaptation",
                "--ratio goes with the folder of train --slimmable",
            )
        export_adapted(directory, output, calibration, test, dynamo, fold)
    elif fold or test:
        raise UsageError(
            f"{directory} holds no adaptation", "--fold and --test go with NAME of mcuformer adapt"
        )
    else:
        export_one(directory, output, calibration, dynamo, ratio)
    print("\n".join([f"written to {output}", *(f"images in {path}" for path in data)]))
