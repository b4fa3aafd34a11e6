"""The options of `compile` and `analyze`: how a model is read, quantised, scheduled and placed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcuformer.cli.params import COUNT, FLOATS, SHAPE, SIZE, board_option
from mcuformer.errors import UsageError

if TYPE_CHECKING:
    from mcuformer.compile.options import CompileOptions, Point

_TASK_FILE = ("model.onnx", "folded.onnx")

_OPTIONS = (
    click.argument("model", metavar="MODEL.onnx", type=click.Path(path_type=Path)),
    board_option,
    click.option(
        "--input-shape",
        "input_shapes",
        type=SHAPE,
        multiple=True,
        metavar="[NAME=]1,3,224,224",
        help="Shape of an input whose axes are dynamic (a batch axis alone is bound to 1).",
    ),
    click.option(
        "--calibration",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Real inputs: an image folder, a .npz or a .npy.",
    ),
    click.option(
        "--calibration-method",
        type=click.Choice(["minmax", "percentile", "mse"]),
        help="How a range is chosen from the data.  [default: mse]",
    ),
    click.option(
        "--mean",
        type=FLOATS,
        metavar="M[,M,M]",
        help="Mean of the pixels over 0..1, per channel (default: the model's metadata).",
    ),
    click.option(
        "--std",
        type=FLOATS,
        metavar="S[,S,S]",
        help="Standard deviation of the pixels over 0..1 (default: the model's metadata).",
    ),
    click.option(
        "--optimize",
        type=click.Choice(["balanced", "ram", "speed"]),
        default="balanced",
        show_default=True,
        help="What to spend less of.",
    ),
    click.option(
        "--input-mode",
        type=click.Choice(["resident", "bands", "flash"]),
        default="resident",
        show_default=True,
        help="Image in SRAM, some lines at a time through a callback, or memory-mapped.",
    ),
    click.option(
        "--output-mode",
        type=click.Choice(["resident", "lines"]),
        default="resident",
        show_default=True,
        help="Outputs in SRAM, or the dense ones by lines through a callback as they are made.",
    ),
    click.option(
        "--weights",
        type=click.Choice(["internal", "qspi", "auto"]),
        default="auto",
        show_default=True,
        help="Flash that holds the weights.",
    ),
    click.option(
        "--weight-bits",
        type=click.Choice(["4", "8", "auto"]),
        default="8",
        show_default=True,
        help="Bits of a weight; auto takes 4 where the flash asks for it, 8 elsewhere.",
    ),
    click.option(
        "--activations",
        type=click.Choice(["8", "auto", "mixed", "16"]),
        callback=lambda _context, _option, value: "auto" if value == "mixed" else value,
        default="8",
        show_default=True,
        help="Bits of an activation; auto (or mixed) takes 16 where measurement asks for it.",
    ),
    click.option("--ram", type=SIZE, metavar="SIZE", help="SRAM to stay within, such as 128k."),
    click.option(
        "--flash",
        type=SIZE,
        metavar="SIZE",
        help="Flash to stay within, weights and code together, such as 1M.",
    ),
    click.option(
        "--max-instructions",
        type=COUNT,
        metavar="N",
        help="Estimated instructions of one inference to stay within, such as 40M.",
    ),
)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a click command with all of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def points_of(model: Path, others: tuple[Path, ...], text: str | None) -> tuple[Point, ...]:
    """The files of `--operating-points` R,R,.. with their labels; UsageError where they do not match."""
    from mcuformer.compile.options import Point

    if text is None:
        if others:
            raise UsageError(
                f"one model at a time: {others[0]} is a second one",
                "--operating-points 0.5,1 compiles files of one slimmable training together",
            )
        return ()
    labels = [part.strip() for part in text.split(",")]
    _check_labels(labels)
    files = [model, *others]
    if model.is_dir() and not others:
        files = [model / f"width-{label}.onnx" for label in labels]
        _export_missing(model, labels, files)
    if len(files) != len(labels):
        raise UsageError(
            f"{len(files)} files for {len(labels)} operating points",
            "give one file for each, in the same order, or the folder that holds width-R.onnx",
        )
    return tuple(map(Point, labels, files))


def tasks_of(
    model: Path, others: tuple[Path, ...], text: str, mode: str, least: int = 2
) -> tuple[Point, ...]:
    """The files of `--adapters` a,b,..: in the folder of `adapt`, or given one by one, each with its
    samples beside it; `least` of them or more."""
    from mcuformer.compile.options import Point

    labels = [part.strip() for part in text.split(",")]
    if len(labels) < least or len(set(labels)) < len(labels) or not all(map(_is_name, labels)):
        count = "two or more different names" if least > 1 else "names"
        raise UsageError(f"--adapters {text} are not {count}", "--adapters digits,fashion")
    if model.is_dir() and not others:
        fold = mode == "fold"
        for name in labels:
            _export_task(model / name, model / name / _TASK_FILE[fold], fold)
        return tuple(
            Point(n, model / n / _TASK_FILE[fold], _if_there(model / n / "calibration.npz"))
            for n in labels
        )
    files = [model, *others]
    if len(files) != len(labels):
        raise UsageError(
            f"{len(files)} files for {len(labels)} tasks",
            "give one file for each, in the same order, or the folder that mcuformer adapt wrote",
        )
    pairs = zip(labels, files, strict=True)
    return tuple(Point(n, f, _if_there(f.with_suffix(".npz"))) for n, f in pairs)


def _is_name(text: str) -> bool:
    return text.replace("-", "_").isidentifier() or text.isalnum()


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _export_missing(folder: Path, labels: list[str], files: list[Path]) -> None:
    """Of a folder that `train --slimmable` left: the files that are not there yet."""
    missing = [(label, f) for label, f in zip(labels, files, strict=True) if not f.exists()]
    if not missing or not (folder / "last.pt").is_file():
        return
    from mcuformer.cli.need_torch import need_torch

    need_torch()
    from mcuformer.search.train_one import export_one

    for label, file in missing:
        export_one(folder, file, None, dynamo=False, ratio=float(label))


def _export_task(folder: Path, file: Path, fold: bool) -> None:
    """Where `adapt` left trained numbers, and the file is not there: the network lies elsewhere, once."""
    if file.exists() or not (folder / "last.pt").is_file():
        return
    from mcuformer.cli.need_torch import need_torch

    need_torch()
    from mcuformer.search.adapt import export_model

    export_model(folder, file, fold=fold)


def _check_labels(labels: list[str]) -> None:
    for label in labels:
        try:
            known = 0 < float(label) <= 1
        except ValueError:
            known = False
        if not known:
            raise UsageError(
                f"'{label[:40]}' is no width: ratios above 0 and up to 1", "0.25,0.5,1"
            )
    if len(labels) < 2 or len(set(map(float, labels))) < len(labels):
        raise UsageError("operating points are two or more different widths", "0.25,0.5,1")


def read_options(values: dict[str, Any]) -> CompileOptions:
    """The parsed command line as CompileOptions; UsageError where options contradict."""
    from mcuformer.compile.options import CompileOptions

    shapes = dict(values.pop("input_shapes"))
    if "" in shapes and len(shapes) > 1:
        raise UsageError("--input-shape without a name stands for the only input", "name each")
    mean, std = values["mean"], values["std"]
    if (mean is None) != (std is None):
        raise UsageError("--mean and --std belong together")
    if std is not None and any(s <= 0 for s in std):
        raise UsageError("--std must be positive")
    return CompileOptions(input_shapes=shapes, **values)
