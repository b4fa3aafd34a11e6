"""mcuformer analyze"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mcuformer.cli.console import ProgressLine, print_json, warn
from mcuformer.cli.model_options import model_options, read_options
from mcuformer.cli.params import json_option
from mcuformer.files.atomic import check_file


@click.command("analyze")
@model_options
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the report here: .html for a page with pictures, .json otherwise.",
)
@json_option
def command(report_file: Path | None, as_json: bool, **values: Any) -> None:
    """Print what compile would print, with no toolchain; a float model needs no data."""
    if report_file is not None:
        check_file(report_file)
    options = read_options(values)
    from mcuformer.cli.failure import reported
    from mcuformer.cli.render import as_text, layer_table, write_report
    from mcuformer.compile.stages import analyze_model

    with ProgressLine() as progress:
        result = analyze_model(options, progress)
    if report_file is not None:
        write_report(result.page, result.report, report_file)
    if as_json:
        print_json(result.report)
    else:
        print(as_text(result.report))
        print(f"\n{result.chart()}\n\n{layer_table(result.report)}")
    if result.error is None:
        warn(result.diagnostics)
    else:
        raise reported(result.error, as_json)
