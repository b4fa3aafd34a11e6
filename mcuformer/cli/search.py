"""mcuformer search"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mcuformer.cli.console import Progress, note, print_json
from mcuformer.cli.params import COUNT, SIZE, json_option

_DEFAULT_OUTPUT = Path("build/search")


@click.command("search")
@click.option("--ram", type=SIZE, metavar="SIZE", help="SRAM to stay within, stack included: 320k.")
@click.option("--flash", type=SIZE, metavar="SIZE", help="Flash to stay within, code included.")
@click.option("--max-instructions", type=COUNT, metavar="N", help="Of one inference, such as 40M.")
@click.option("--board", default="stm32f746", show_default=True, metavar="NAME|FILE.toml")
@click.option(
    "--space", metavar="FILE|PRESET",
    help="tiny, cifar, imagenet or a TOML file.  [default: tiny; cifar for larger images]",
)
@click.option(
    "--data", metavar="D",
    help="digits, fashion-mnist, cifar10:PATH, imagefolder:PATH[,size].  [default: digits]",
)
@click.option(
    "--budget", type=click.Choice(["small", "normal", "large"]), default="normal",
    show_default=True, help="Epochs and candidates; never seconds.",
)
@click.option(
    "--protocol", type=click.Choice(["none", "baseline", "modern"]), default="baseline",
    show_default=True, help="Augmentation in training.",
)
@click.option(
    "--objectives", default="accuracy", show_default=True, metavar="A,B",
    help="accuracy, or more of sram, flash, instructions for a Pareto set.",
)
@click.option(
    "--input-mode", type=click.Choice(["resident", "bands", "flash"]), default="bands",
    show_default=True, help="How the compiled network gets its image.",
)
@click.option(
    "--optimize", type=click.Choice(["balanced", "ram", "speed"]), default="balanced",
    show_default=True, help="The schedule that candidates are planned and compiled with.",
)
@click.option(
    "--teacher", metavar="PATH",
    help="A folder of `train`, or an ONNX classifier, whose answers count beside the labels.",
)
@click.option("--supernet-epochs", type=click.IntRange(min=1), metavar="N",
              help="In place of the budget's.")
@click.option("--finetune-epochs", type=click.IntRange(min=1), metavar="N",
              help="In place of the budget's.")
@click.option("--candidates", type=click.IntRange(min=1), metavar="N",
              help="In place of the budget's.")
@click.option("--refit", is_flag=True, help="Fine-tune the winner on the validation images too.")
@click.option(
    "--qat", is_flag=True,
    help="After fine-tuning, train on with the rounding of the integer code.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--amp", is_flag=True, help="Train in bfloat16 where the device has it.")
@click.option("--storage", metavar="URL", help="An Optuna storage that several workers share.")
@click.option(
    "--worker", is_flag=True, help="Only evaluate candidates, for the search in --resume DIR."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
              help="Where everything goes.  [default: build/search]")
@click.option("--resume", type=click.Path(path_type=Path), metavar="DIR",
              help="Continue the search in DIR with its own options.")
@json_option
def command(
    output: Path | None, resume: Path | None, worker: bool, as_json: bool, **values: Any
) -> None:
    """Find, train, compile and check a network that fits the limits."""
    from mcuformer.cli.need_torch import need_torch

    need_torch()
    from mcuformer.search.run import Search, Settings, read_settings, save_settings

    directory = resume or output or _DEFAULT_OUTPUT
    if resume is not None:
        settings = read_settings(resume)
        if values["storage"]:
            settings = replace(settings, storage=values["storage"])
    else:
        if values["data"] is None:
            note("no --data: the embedded digits of 8x8, enlarged to 24x24")
        values["data"] = values["data"] or "digits"
        values["space"] = values["space"] or _space_for(values["data"])
        values["objectives"] = tuple(values["objectives"].split(","))
        settings = Settings(**values)
        save_settings(settings, directory)
    with Progress() as progress:
        search = Search(settings, directory, progress)
        if worker:
            search.work()
            return
        document = search.run()
    if as_json:
        print_json(document)
    else:
        print(_text(document))


def _space_for(data: str) -> str:
    return "tiny" if data.startswith(("digits", "fashion-mnist")) else "cifar"


def _text(d: dict[str, Any]) -> str:
    a, accuracy = d["arch"], d["accuracy"]
    ranks = ", ".join(f"{n[5:]} {a[n]}" for n in a if n.startswith("rank_"))
    lines = [
        f"found     {len(a['hidden'])} blocks of {a['dim']}, {a['heads']} heads of "
        f"{a['head_dim']}, patch {a['patch']} ({a['stem']}), {a['pool']} pool",
        f"          MLP widths {a['hidden']}, ranks {ranks}",
        f"          {d['parameters']:,} parameters; best of {d['candidates']} candidates, "
        f"{100 * d['legal_share']:.0f} % of random networks are legal",
        f"accuracy  int8 {accuracy['int8']:.2f} % on all test images (float "
        f"{accuracy['float']:.2f} %, validation {_percent(accuracy['validation'])})",
        f"          Unicorn {accuracy['emulator']:.2f} % on {accuracy['emulator_samples']} of "
        f"them, {'bits equal' if d['bit_exact'] else 'BITS DIFFER'}",
        f"SRAM      {d['sram_total_bytes']:,} B",
        f"flash     {d['flash_total_bytes']:,} B",
        f"work      {d['instructions']:,} instructions (estimated)",
        f"model     {d['model']}",
        f"package   {d['build_dir']}",
    ]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "none: trained on it" if value is None else f"{value:.2f} %"
