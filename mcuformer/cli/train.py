"""mcuformer train"""

from __future__ import annotations

from pathlib import Path

import click

from mcuformer.cli.console import ProgressLine, print_json
from mcuformer.cli.continued import SAME_COMMAND, continued
from mcuformer.cli.params import FiniteFloat, belong_to, json_option, protocol_option


@click.command("train")
@click.argument("arch_file", metavar="ARCH.json", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    metavar="D",
    help="digits, fashion-mnist, cifar10:PATH, imagefolder:PATH[,size].",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where last.pt goes after every epoch; a run found there is continued.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--lr", type=FiniteFloat(0, min_open=True), default=4e-3, show_default=True)
@click.option(
    "--optimizer",
    type=click.Choice(["adamw", "muon"]),
    default="muon",
    show_default=True,
    help="muon reaches more in short schedules.",
)
@protocol_option
@click.option(
    "--label-smoothing",
    type=FiniteFloat(0, 0.5),
    default=0.1,
    show_default=True,
    help="Share of the labels' weight that all classes have alike.",
)
@click.option("--ema", type=FiniteFloat(0, 0.9999), default=0.99, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="CPU threads; in training each takes a part of every batch.",
)
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A folder of `train`, or an ONNX classifier, whose answers count beside labels.",
)
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Start with the weights of a finished training of the same network: DIR/last.pt.",
)
@click.option("--refit", is_flag=True, help="Train on the validation images too.")
@click.option(
    "--qat",
    is_flag=True,
    help="Then a quarter as many epochs with the rounding of the integer code.",
)
@click.option(
    "--weight-bits",
    type=click.Choice(["8", "4"]),
    default="8",
    show_default=True,
    help="Of --qat, and then of compile.",
)
@click.option(
    "--slimmable",
    is_flag=True,
    help="A network whose slices are networks of other widths (Scala), for compile --operating-points.",
)
@click.option(
    "--ratios",
    default="0.25:1:0.25",
    show_default=True,
    metavar="LEAST:1:STEP",
    help="Widths of --slimmable.",
)
@click.option(
    "--nested",
    is_flag=True,
    help="With --slimmable every width is the first channels; else only the least and the full one.",
)
@click.option(
    "--localize",
    type=click.Path(path_type=Path),
    metavar="REPORT.json",
    help="With --from, for at most 2 epochs: heads see what compile --localize-attention chose in this report.",
)
@click.option("--amp", is_flag=True, help="bfloat16 where the device has it.")
@click.option(
    "--until",
    type=click.IntRange(min=1),
    metavar="EPOCH",
    help="Stop after this epoch; the same command without it goes on.",
)
@json_option
def command(
    arch_file: Path,
    data: str,
    output: Path,
    epochs: int,
    batch: int,
    lr: float,
    optimizer: str,
    protocol: str,
    label_smoothing: float,
    ema: float,
    seed: int,
    threads: int,
    teacher: Path | None,
    start: Path | None,
    refit: bool,
    qat: bool,
    weight_bits: str,
    slimmable: bool,
    ratios: str,
    nested: bool,
    localize: Path | None,
    amp: bool,
    until: int | None,
    as_json: bool,
) -> None:
    """Train the network in ARCH.json, or in a search.json; data parallel under torchrun."""
    from mcuformer.cli.need_torch import need_torch

    belong_to("--slimmable", slimmable, ("ratios", "nested"))
    belong_to("--qat", qat, ("weight_bits",))
    need_torch()
    from mcuformer.cli.render_train import as_text
    from mcuformer.search.slimmable import Widths, parse_ratios
    from mcuformer.search.train import Recipe
    from mcuformer.search.train_one import train_one

    recipe = Recipe(
        epochs=epochs,
        batch=batch,
        lr=lr,
        optimizer=optimizer,
        protocol=protocol,
        smoothing=label_smoothing,
        ema=ema,
        seed=seed,
        amp=amp,
    )
    with ProgressLine() as progress, continued(output, SAME_COMMAND):
        document = train_one(
            arch_file,
            data,
            output,
            recipe,
            threads,
            until,
            progress,
            teacher,
            qat,
            int(weight_bits),
            start,
            refit,
            Widths(parse_ratios(ratios), nested) if slimmable else None,
            localize,
        )
    if as_json:
        print_json(document)
    elif document:  # of several processes only the first one's
        print(as_text(document, output))
