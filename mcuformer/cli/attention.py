"""mcuformer attention"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mcuformer.cli.console import ProgressLine, print_json
from mcuformer.cli.params import FLOATS, SHAPE, json_option
from mcuformer.files.atomic import check_file

_LOOKED_AT = 200  # samples, unless --limit says otherwise


@click.command("attention")
@click.argument("model", metavar="MODEL.onnx", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Real inputs: an image folder, a .npz or a .npy.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=_LOOKED_AT,
    show_default=True,
    metavar="N",
    help="At most N samples, evenly spread; 0 for all.",
)
@click.option(
    "--image",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="I",
    help="The sample whose own attention the report shows.",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a page with pictures here.",
)
@click.option("--input-shape", "input_shapes", type=SHAPE, multiple=True, metavar="[NAME=]1,3,224,224",
              help="Shape of an input whose axes are dynamic.")  # fmt: skip
@click.option("--mean", type=FLOATS, metavar="M[,M,M]", help="Mean of the pixels over 0..1.")
@click.option("--std", type=FLOATS, metavar="S[,S,S]", help="Standard deviation of the pixels.")
@json_option
def command(
    model: Path, data: Path, limit: int, image: int, report_file: Path | None, as_json: bool,
    **values: Any,
) -> None:  # fmt: skip
    """Show how far every head looks: mean distance, entropy, mass within every radius."""
    if report_file is not None:
        check_file(report_file)
    from mcuformer.cli.model_options import read_options
    from mcuformer.cli.render import write_report
    from mcuformer.cli.render_attention import as_text
    from mcuformer.locality.page import page
    from mcuformer.locality.study import study

    options = read_options({"model": model, "board": "host", "calibration": data, **values})
    with ProgressLine() as progress:
        document = study(options, limit or None, image, progress)
    if report_file is not None:
        write_report(lambda: page(document), document, report_file)
    if as_json:
        print_json(document)
    else:
        print(as_text(document))
