"""mcuformer adapt"""

from __future__ import annotations

import re
from pathlib import Path

import click

from mcuformer.cli.console import ProgressLine, print_json, table
from mcuformer.cli.continued import SAME_COMMAND, continued
from mcuformer.cli.params import FiniteFloat, json_option, protocol_option, useless_with
from mcuformer.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@click.command("adapt")
@click.option(
    "--base",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR|MODEL",
    help="The folder of a finished `train` or `search`, or an ONNX file of a plain ViT, whose "
    "network stays as it is.",
)
@click.option(
    "--task",
    "tasks",
    required=True,
    multiple=True,
    metavar="NAME=DATA",
    help="DATA as train takes it, grey:DATA or few:N:DATA; images are made as the network takes them.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder NAME in it gets last.pt after every epoch; one found there is continued.",
)
@click.option("--rank", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--att-only", is_flag=True, help="No adapters in front of the MLPs.")
@click.option("--full", is_flag=True, help="Train all weights instead, for comparison.")
@click.option("--epochs", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--lr", type=FiniteFloat(0, min_open=True), help="[default: 0.01; 0.001 with --full]")
@protocol_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--amp", is_flag=True, help="bfloat16 where the device has it.")
@click.option(
    "--until",
    type=click.IntRange(min=1),
    metavar="EPOCH",
    help="Stop after this epoch; the same command without it goes on.",
)
@json_option
def command(
    base: Path,
    tasks: tuple[str, ...],
    output: Path,
    rank: int,
    att_only: bool,
    full: bool,
    epochs: int,
    batch: int,
    lr: float | None,
    protocol: str,
    seed: int,
    threads: int,
    amp: bool,
    until: int | None,
    as_json: bool,
) -> None:
    """Train adapters (ARC) and a head per task on a network that stays frozen."""
    from mcuformer.cli.need_torch import need_torch

    useless_with("--full", full, ("rank", "att_only"))
    named = parse_tasks(tasks)
    need_torch()
    from mcuformer.search.adapt import Method, adapt, recipe_of

    method = Method(rank, att_only, full)
    recipe = recipe_of(epochs, batch, lr or (1e-3 if full else 1e-2), protocol, seed, amp)
    with ProgressLine() as progress, continued(output, SAME_COMMAND):
        found = adapt(base, named, output, method, recipe, threads, until, progress)
    if as_json:
        print_json({"tasks": found})
        return
    rows = [
        (
            d["task"],
            f"{d['trained']:,}",
            f"{d['head']:,}",
            f"{d['share']:.2f} %",
            str(d["epochs"]),
            f"{d['validation']:.2f} %",
        )
        for d in found
    ]
    print(
        table(("task", "trained", "of them head", "of the backbone", "epochs", "validation"), rows)
    )


def parse_tasks(given: tuple[str, ...]) -> dict[str, str]:
    """{name: data} of NAME=DATA; a name is a folder's, too."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, data = text.partition("=")
        if not equals or not data or not _NAME.fullmatch(name):
            raise UsageError(
                f"--task {text} is not NAME=DATA",
                "NAME has letters, digits, _ and -: --task digits=digits",
            )
        if name in found:
            raise UsageError(f"two tasks are named {name}", "each needs a folder of its own")
        found[name] = data
    return found
