"""What is adapted: the trained network of a folder, with the normalisation of its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from mcuformer.errors import UsageError
from mcuformer.files.kept import making_sense_of, read_json
from mcuformer.search.checkpoint import load_finished
from mcuformer.search.data import normalisation
from mcuformer.search.families import arch_of
from mcuformer.search.net import Network
from mcuformer.search.networks import AnyNetwork, network_of
from mcuformer.search.plain_vit import read_plain_vit
from mcuformer.search.products import MODEL
from mcuformer.search.teacher import INFO, trained_network

SEARCH = "search.json"


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """`mean` and `std` per channel over 0..1, as the network was trained with."""

    network: Network
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load_backbone(directory: Path) -> Backbone:
    """Of a finished `train`, what a `search` found (before any training with rounding), or a plain ViT in
    an ONNX file that notes mean and std as `export` does."""
    if directory.is_file():
        return _from_file(directory)
    if (directory / INFO).is_file():
        trained, info = trained_network(directory)
        network = _plain(trained, directory)
        with making_sense_of(directory / INFO, "train again", "not what mcuformer train writes"):
            return _normalised(network, info["mean"], info["std"])
    if (directory / SEARCH).is_file():
        return _found(directory)
    raise UsageError(
        f"{directory} holds no network",
        "give the folder of a finished mcuformer train or search, or an ONNX file",
    )


def _from_file(path: Path) -> Backbone:
    found = read_plain_vit(path)
    notes = [found.notes.get(f"mcuformer.{n}") for n in ("mean", "std")]
    if None in notes:
        raise UsageError(
            f"{path} does not say how its images are normalised",
            "metadata mcuformer.mean and mcuformer.std, numbers per channel with commas, say it",
        )
    todo = "mcuformer.mean and mcuformer.std have a number for each channel, with commas"
    with making_sense_of(path, todo, "no file that says how its images are normalised"):
        return _normalised(found.network, *(str(n).split(",") for n in notes))


def _plain(network: AnyNetwork, directory: Path) -> Network:
    """UsageError where it has no blocks of a ViT, to which adapters go."""
    if not isinstance(network, Network):
        raise UsageError(
            f"{directory} holds a network of the family {network.arch.family}",
            "adapters are for the blocks of plain ViTs (family vit)",
        )
    return network


def _found(directory: Path) -> Backbone:
    network = _plain(
        read_json(
            directory / SEARCH,
            lambda table: network_of(arch_of(table["arch"])),
            "restore the file, or search again",
            "not what mcuformer search writes",
        ),
        directory,
    )
    load_finished(network, directory / f"finetune-{network.arch.key()}" / "last.pt")
    model = directory / MODEL
    if not model.is_file():
        raise UsageError(
            f"{model} does not exist, whose metadata has mean and std",
            "search again: it is made anew",
        )
    with making_sense_of(model, "search again: it is made anew"):
        notes = {p.key: p.value for p in onnx.load(model).metadata_props}
        return _normalised(
            network.eval(), *(notes[f"mcuformer.{n}"].split(",") for n in ("mean", "std"))
        )


def _normalised(network: Network, mean: list[Any], std: list[Any]) -> Backbone:
    return Backbone(network, *normalisation(mean, std, network.arch.image[2]))
