"""`train` and `export`: the steps of a search by hand, for one network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from mcuformer.errors import UsageError
from mcuformer.files.atomic import atomic_file, check_directory
from mcuformer.files.kept import making_sense_of, read_json
from mcuformer.search import data as sources
from mcuformer.search.architecture import Architecture
from mcuformer.search.checkpoint import load_finished, save_atomically, weights_sha256
from mcuformer.search.families import arch_of, check_rounded
from mcuformer.search.finish import calibration, export
from mcuformer.search.near import MOST_EPOCHS, localise_network, read_radii
from mcuformer.search.net import initialise
from mcuformer.search.networks import network_of
from mcuformer.search.qat import qat_recipe, train_rounded
from mcuformer.search.slimmable import ScaleCoordination, Widths, at_width, check_slimmable
from mcuformer.search.teacher import INFO, RANGES, ROUNDED_WEIGHTS, load_teacher, trained_network
from mcuformer.search.train import Recipe, Trainer, accuracy, device_of, distilled_loss, plain_loss


def read_arch(path: Path) -> Architecture:
    """A network as JSON, by itself or as the `arch` of a search.json."""
    if not path.is_file():
        why = "is a directory" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {why}", "give an ARCH.json, or the search.json of a search")
    return read_json(
        path,
        lambda table: arch_of(table.get("arch", table)),
        "give an ARCH.json, or the search.json of a finished search",
        "no description of a network",
    )


def join_group() -> bool:
    """Join the processes of torchrun; whether there are others."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return dist.is_initialized()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return True


def train_one(
    arch_file: Path,
    data_name: str,
    output: Path,
    recipe: Recipe,
    threads: int,
    until: int | None,
    say: Callable[..., None],
    teacher: Path | None = None,
    qat: bool = False,
    weight_bits: int = 8,
    start: Path | None = None,
    refit: bool = False,
    widths: Widths | None = None,
    localize: Path | None = None,
) -> dict[str, Any]:
    """Train to the end of the recipe or to epoch `until`; empty on all but the first process.

    `start`: the folder (or last.pt) of a finished training of the same network, whose weights are
    the first; `refit`: on the validation images too. `widths`: a network whose slices are networks.
    `localize`: the report of a compilation whose near heads the network gets used to.
    """
    if widths is not None and (qat or teacher):
        raise UsageError(
            "a slimmable training has its own teachers and no rounding",
            "leave --teacher and --qat away",
        )
    radii = read_radii(localize) if localize else None
    if radii and (start is None or qat or widths or recipe.epochs > MOST_EPOCHS):
        raise UsageError(
            f"--localize goes on from a finished training, for at most {MOST_EPOCHS} epochs in float",
            f"--from DIR --epochs {MOST_EPOCHS}, without --qat and --slimmable",
        )
    check_directory(output)
    torch.set_num_threads(threads)
    together = join_group()
    data = sources.load(data_name, recipe.seed)
    data = data.joined() if refit else data.validated()
    arch = replace(read_arch(arch_file), image=data.image, classes=len(data.classes))
    if qat:
        check_rounded(arch.family)
    network = network_of(arch)
    initialise(network, torch.Generator().manual_seed(recipe.seed))
    if start:
        load_finished(network, start / "last.pt" if start.is_dir() else start)
    if radii:
        localise_network(network, radii)
    taught = load_teacher(teacher, data, device_of()) if teacher else None
    loss = distilled_loss(taught) if taught else plain_loss
    if widths is not None:
        check_slimmable(arch, widths)
        loss = ScaleCoordination(widths, recipe.epochs)
    about = {
        "data": [len(data.train), *data.image, *data.classes],  # its place may be another one
        "teacher": teacher is not None,
        "start": start is not None,
        "slimmable": [*widths.ratios, widths.nested] if widths else None,
        "localize": radii,
    }
    trainer = Trainer(
        network, data, recipe, output, loss, fused=widths is None, threads=threads, about=about
    )

    def report(done: int, total: int, loss: float, more: object) -> None:
        say(f"training (loss {loss:.3f})", done, total)

    trainer.run(report, until)
    network.eval()
    rounded: dict[str, Any] | None = None
    if qat and trainer.finished == recipe.epochs:
        rounded, kept = train_rounded(
            network, data, qat_recipe(recipe), output / "qat", weight_bits, taught, report
        )
        if trainer.rank == 0:
            save_atomically(network.state_dict(), output / ROUNDED_WEIGHTS)
            (output / RANGES).write_text(kept)
    document: dict[str, Any] = {}
    if trainer.rank == 0:
        document = {
            "arch": arch.as_dict(),
            "data": data_name,
            "recipe": asdict(recipe),
            "epochs": trainer.finished,
            "mean": data.mean,
            "std": data.std,
            "teacher": str(teacher) if teacher else None,
            "validation": None
            if refit
            else accuracy(network, data, data.validation, trainer.device),
            "start": str(start) if start else None,
            "refit": refit,
            "qat": rounded,
            "localized": radii,
            "slimmable": None
            if widths is None
            else _slimmable(network, widths, data, trainer.device, refit),
            "weights_sha256": weights_sha256(network),
        }
        with atomic_file(output / INFO) as part:
            part.write_text(json.dumps(document, indent=1))
    if together:
        dist.barrier()
        dist.destroy_process_group()
    return document


def _slimmable(
    network: nn.Module, widths: Widths, data: sources.Data, device: torch.device, refit: bool
) -> dict[str, Any]:
    """What train.json says of the widths; accuracies in percent of the validation images, None where
    those were trained on (`refit`)."""

    def percent(ratio: float) -> float | None:
        made = at_width(network, widths, ratio).to(device).eval()
        return None if refit else accuracy(made, data, data.validation, device)

    found = {f"{ratio:g}": percent(ratio) for ratio in widths.ratios}
    return {"ratios": list(widths.ratios), "nested": widths.nested, "validation": found}


def widths_of(info: dict[str, Any], directory: Path) -> Widths:
    """Of a slimmable training; UsageError for another one."""
    found = info.get("slimmable")
    if not found:
        raise UsageError(f"{directory} is no slimmable training", "train --slimmable makes one")
    with making_sense_of(directory / INFO, "train again", "not what mcuformer train writes"):
        return Widths(tuple(map(float, found["ratios"])), bool(found["nested"]))


def export_one(
    directory: Path, model: Path, calibrate: Path | None, dynamo: bool, ratio: float | None = None
) -> None:
    """The averaged weights of a training directory as ONNX; `calibrate`: training images beside.
    `ratio`: a width of a slimmable training, as a plain network."""
    network, info = trained_network(directory)
    if ratio is not None:
        network = at_width(network, widths_of(info, directory), ratio)
    with making_sense_of(directory / INFO, "train again", "not what mcuformer train writes"):
        name, seed = str(info["data"]), int(info["recipe"]["seed"])
    data = sources.load(name, seed)
    kept = _ranges(directory / RANGES) if info.get("qat") else None
    export(network, data, model, dynamo, kept)
    if calibrate is not None:
        calibration(data, calibrate)


def _ranges(path: Path) -> str:
    """The text that train_rounded kept, which goes on as it is."""
    read_json(path, lambda table: table["values"], "train again")
    return path.read_text(encoding="utf-8")
