"""mcuformer compile"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mcuformer.cli.console import ProgressLine, cpu_line, print_json, warn
from mcuformer.cli.model_options import model_options, points_of, read_options, tasks_of
from mcuformer.cli.params import (
    Parsed,
    belong_to,
    json_option,
    parse_decibels,
    parse_percent,
    parse_radius,
    verbose_option,
)
from mcuformer.errors import UsageError
from mcuformer.files.atomic import check_file


@click.command("compile")
@model_options
@click.argument("others", nargs=-1, metavar="[MODEL.onnx ...]", type=click.Path(path_type=Path))
@click.option(
    "--operating-points",
    metavar="R,R,..",
    help="Widths over one set of weights: MODEL.onnx ... are their files in this order, or MODEL is the "
    "folder that holds width-R.onnx of each.",
)
@click.option(
    "--adapters",
    metavar="A,B,..",
    help="Tasks of one network: MODEL is the folder that adapt wrote, or MODEL.onnx ... are their files, each "
    "with samples to calibrate with beside it (.npz).",
)
@click.option(
    "--adapter-mode",
    type=click.Choice(["fold", "runtime"]),
    default="runtime",
    show_default=True,
    help="runtime: the network once, each task's numbers beside it; fold: each task a network of its own.",
)
@click.option(
    "--onto",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A package of --adapter-mode runtime, to which the one task of --adapters is added; -o is the new one.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the C package, the firmware and report.json go.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="Prefix of all names in C: NAME_init, NAME_invoke.  [default: the model file's name]",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the report here: .html for a page with pictures, .json otherwise.",
)
@click.option(
    "--no-check", is_flag=True, help="Do not run the emitted code and compare it with the model."
)
@click.option(
    "--accept-sqnr",
    type=Parsed("decibels", parse_decibels),
    default=10.0,
    show_default=True,
    metavar="DB",
    help="Least SQNR of the outputs against the ONNX file on calibration samples.",
)
@click.option("--emit-only", is_flag=True, help="Write the C package only; needs no toolchain.")
@click.option(
    "--save-temps", is_flag=True,
    help="Keep object files and the linker map, and in stages/ what every stage made, as text.",
)  # fmt: skip
@click.option(
    "--localize-attention",
    "radius",
    type=Parsed("radius", parse_radius),
    metavar="RADIUS|auto",
    help="Let heads see only patches within RADIUS lines and columns, as many heads as --max-loss allows; "
    "auto chooses a radius for every head.",
)
@click.option(
    "--max-loss",
    type=Parsed("percent", parse_percent),
    default=0.5,
    show_default=True,
    metavar="PERCENT",
    help="What --localize-attention may lose: points of top-1 where the calibration samples have labels, else "
    "samples that are told otherwise.",
)
@json_option
@verbose_option
def command(
    output: Path,
    report_file: Path | None,
    as_json: bool,
    verbose: bool,
    no_check: bool,
    operating_points: str | None,
    adapters: str | None,
    adapter_mode: str,
    radius: int | None,
    max_loss: float,
    **values: Any,
) -> None:
    """Compile MODEL.onnx to a C package, a firmware image and a report."""
    if report_file is not None:
        check_file(report_file)
    belong_to("--localize-attention", radius is not None, ("max_loss",))
    belong_to("--adapters", adapters is not None, ("adapter_mode",))
    others = values.pop("others")
    if adapters and operating_points:
        raise UsageError("--adapters and --operating-points are two packages", "give one of them")
    if values["onto"] and not (adapters and adapter_mode == "runtime"):
        raise UsageError("--onto adds a task at run time", "name it: --adapters NAME")
    if adapters:
        least = 1 if values["onto"] else 2
        values["points"] = tasks_of(values["model"], others, adapters, adapter_mode, least)
        values["adapter_mode"] = adapter_mode
    else:
        values["points"] = points_of(values["model"], others, operating_points)
    if values["points"]:
        values["model"] = values["points"][-1].model
    options = read_options({**values, "check": not no_check})
    if radius is not None and options.points:
        raise UsageError("--localize-attention is for one network, not for several in a package")
    from mcuformer.cli.render import as_text, layer_table, write_report
    from mcuformer.compile.stages import compile_model

    with ProgressLine() as progress:
        if radius is not None:
            from mcuformer.locality.localise import localise

            options = replace(
                options, localisation=localise(options, radius or None, max_loss, progress)
            )
        result = compile_model(options, output, progress)
    warn(result.diagnostics)
    if report_file is not None:
        write_report(result.page, result.report, report_file)
    if as_json:
        print_json(result.report)
    else:
        print(as_text(result.report))
        if verbose:
            print(f"\n{result.chart()}\n\n{layer_table(result.report)}")
        print(f"\nwritten to {output}")
        click.echo(cpu_line(progress.seconds), err=True)  # stdout is the same in every run
