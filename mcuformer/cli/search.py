"""mcuformer search"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mcuformer.cli.console import ProgressLine, note, print_json
from mcuformer.cli.continued import continued
from mcuformer.cli.params import COUNT, SIZE, belong_to, json_option, protocol_option
from mcuformer.errors import UsageError
from mcuformer.files.atomic import check_directory

_DEFAULT_OUTPUT = Path("build/search")
_ALSO_LATER = frozenset({"resume", "worker", "as_json", "study", "storage"})


@click.command("search")
@click.option("--ram", type=SIZE, metavar="SIZE", help="SRAM to stay within, stack included: 320k.")
@click.option("--flash", type=SIZE, metavar="SIZE", help="Flash to stay within, code included.")
@click.option("--max-instructions", type=COUNT, metavar="N", help="Of one inference, such as 40M.")
@click.option("--board", default="stm32f746", show_default=True, metavar="NAME|FILE.toml")
@click.option(
    "--space",
    metavar="FILE|PRESET",
    help="tiny, cifar, imagenet, focal, twins, s3 or a TOML file.  [default: tiny; cifar for larger "
    "images]",
)
@click.option(
    "--data",
    metavar="D",
    help="digits, fashion-mnist, cifar10:PATH, imagefolder:PATH[,size].  [default: digits]",
)
@click.option(
    "--budget",
    type=click.Choice(["small", "normal", "large"]),
    default="normal",
    show_default=True,
    help="Epochs and candidates; never seconds.",
)
@protocol_option
@click.option(
    "--objectives",
    default="accuracy",
    show_default=True,
    metavar="A,B",
    help="accuracy, or more of sram, flash, instructions for a Pareto set.",
)
@click.option(
    "--input-mode",
    type=click.Choice(["resident", "bands", "flash"]),
    default="bands",
    show_default=True,
    help="How the compiled network gets its image.",
)
@click.option(
    "--optimize",
    type=click.Choice(["balanced", "ram", "speed"]),
    default="balanced",
    show_default=True,
    help="The schedule that candidates are planned and compiled with.",
)
@click.option(
    "--teacher",
    metavar="PATH",
    help="A folder of `train`, or an ONNX classifier, whose answers count beside the labels.",
)
@click.option(
    "--supernet",
    metavar="DIR",
    help="The trained supernet of another search over the same space, data and seed, such as one "
    "with other limits.",
)
@click.option(
    "--supernet-epochs", type=click.IntRange(min=1), metavar="N", help="In place of the budget's."
)
@click.option(
    "--finetune-epochs", type=click.IntRange(min=1), metavar="N", help="In place of the budget's."
)
@click.option(
    "--candidates", type=click.IntRange(min=1), metavar="N", help="In place of the budget's."
)
@click.option("--refit", is_flag=True, help="Fine-tune the winner on the validation images too.")
@click.option(
    "--qat",
    is_flag=True,
    help="After fine-tuning, train on with the rounding of the integer code.",
)
@click.option(
    "--study/--no-study",
    default=None,
    help="Report Kendall's tau of the shared weights, and the search against random draws.  "
    "[default: with --budget large]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="CPU threads; in training each takes a part of every batch.",
)
@click.option("--amp", is_flag=True, help="Train in bfloat16 where the device has it.")
@click.option("--storage", metavar="URL", help="An Optuna storage that several workers share.")
@click.option(
    "--worker", is_flag=True, help="Only evaluate candidates, for the search in --resume DIR."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where everything goes.  [default: build/search]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Continue the search in DIR with its own options.",
)
@json_option
def command(
    output: Path | None, resume: Path | None, worker: bool, as_json: bool, **values: Any
) -> None:
    """Find, train, compile and check a network that fits the limits."""
    from mcuformer.cli.need_torch import need_torch

    belong_to("--resume", resume is not None, ("worker",))
    need_torch()
    from mcuformer.search.run import Search
    from mcuformer.search.settings import Settings, read_settings, save_settings
    from mcuformer.search.summary import text

    directory = resume or output or _DEFAULT_OUTPUT
    if resume is not None:
        _refuse_others(resume)
        settings = read_settings(resume)
        study = settings.study if values["study"] is None else values["study"]
        settings = replace(settings, storage=values["storage"] or settings.storage, study=study)
    else:
        settings = Settings(**_completed(values))
        check_directory(directory)
    again = f"mcuformer search --resume {directory} continues it"
    with ProgressLine() as progress, continued(directory, again):
        search = Search(settings, directory, progress)
        if resume is None:
            save_settings(settings, directory)
        for path in search.damaged():
            note(f"{path} is damaged or missing: the last stage makes it anew")
        if worker:
            search.work()
            return
        document = search.run()
    if as_json:
        print_json(document)
    else:
        print(text(document))


def _refuse_others(directory: Path) -> None:
    """A search that goes on has its own options; others would be ignored without a word."""
    context = click.get_current_context()
    for option in context.command.params:
        name = str(option.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in _ALSO_LATER:
            raise UsageError(
                f"{option.opts[-1]} beside --resume: {directory} is continued with its own options",
                "leave it out, or begin another search with -o DIR (and --supernet, where one is trained)",
            )


def _completed(values: dict[str, Any]) -> dict[str, Any]:
    """Options with the defaults that depend on others."""
    if values["data"] is None:
        note("no --data: the embedded digits of 8x8, enlarged to 24x24")
    data = values["data"] or "digits"
    small = data.startswith(("digits", "fashion-mnist"))
    study = values["budget"] == "large" if values["study"] is None else values["study"]
    return values | {
        "data": data,
        "space": values["space"] or ("tiny" if small else "cifar"),
        "study": study,
        "objectives": tuple(values["objectives"].split(",")),
    }
