"""`adapt`: one frozen network, a few trained numbers per task; and what `export` reads of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mcuformer.errors import UsageError
from mcuformer.files.atomic import atomic_file, check_directory
from mcuformer.files.kept import making_sense_of, read_json
from mcuformer.search import data as sources
from mcuformer.search.adapters import Adapted, folded, with_head
from mcuformer.search.backbone import Backbone, load_backbone
from mcuformer.search.checkpoint import load_finished, weights_sha256
from mcuformer.search.data import Data
from mcuformer.search.finish import Normalised, calibration, export, save_arrays
from mcuformer.search.fitted import fitted, fitted_images
from mcuformer.search.net import Network
from mcuformer.search.products import DATA, MODEL
from mcuformer.search.train import Recipe, Trainer, accuracy

ADAPTATION = "adapt.json"
FOLDED_MODEL = "folded.onnx"
VALIDATION = "validation.npz"
_JUDGED = 1000  # images by which `compile --onto` judges a task
_WHAT = "not what mcuformer adapt writes"


@dataclass(frozen=True, slots=True)
class Method:
    """`full`: all weights are trained, for comparison; `rank` and `attention_only` say nothing then."""

    rank: int = 16
    attention_only: bool = False
    full: bool = False


def adapt(
    base: Path,
    tasks: Mapping[str, str],
    output: Path,
    method: Method,
    recipe: Recipe,
    threads: int,
    until: int | None,
    say: Callable[..., None],
) -> list[dict[str, Any]]:
    """Each task of {name: data} by itself into `output`/name, so that others change nothing of it."""
    for name in tasks:
        check_directory(output / name)
    torch.set_num_threads(threads)
    backbone = load_backbone(base)
    if not method.full and method.rank >= backbone.network.arch.dim:
        raise UsageError(
            f"rank {method.rank} is no less than the network's width {backbone.network.arch.dim}",
            "16 is enough for most tasks",
        )
    common = {"base_sha256": weights_sha256(backbone.network), "recipe": asdict(recipe)}
    asked = {n: {**common, **asdict(method), "data": spec} for n, spec in tasks.items()}
    for name, spec in tasks.items():  # the last one before the first is trained
        sources.check(spec)
        _refuse_another(output / name, asked[name])
    return [
        _adapt_one(base, backbone, output / name, given, method, recipe, until, say)
        for name, given in asked.items()
    ]


def _adapt_one(
    base: Path, backbone: Backbone, directory: Path, asked: dict[str, Any], method: Method,
    recipe: Recipe, until: int | None, say: Callable[..., None],
) -> dict[str, Any]:  # fmt: skip
    name = directory.name
    data = _data_of(str(asked["data"]), recipe.seed, backbone).validated()
    model = task_model(backbone, len(data.classes), method, recipe.seed)
    network = model.network if isinstance(model, Adapted) else model
    assert isinstance(network, Network)
    trainer = Trainer(model, data, recipe, directory)

    def report(done: int, total: int, loss: float, more: object) -> None:
        say(f"adapting to {name} (loss {loss:.3f})", done, total)

    place = os.path.relpath(base.resolve(), directory.resolve())  # both may be moved together
    document = {"task": name, "base": place, **asked, "classes": list(data.classes)}
    _write(directory, document)
    trainer.run(report, until)
    whole, head, trained = (
        sum(p.numel() for p in part.parameters())
        for part in (backbone.network, network.head, model)
    )
    document |= {
        "epochs": trainer.finished,
        "backbone": whole,
        "trained": trained,
        "head": head,
        "share": round(100 * trained / whole, 3),
        "validation": accuracy(network.eval(), data, data.validation, trainer.device),
        "weights_sha256": weights_sha256(model),
    }
    if trainer.finished == recipe.epochs:
        _export(network, data, directory)
    _write(directory, document)
    return document


def _export(network: Network, data: Data, directory: Path) -> None:
    """What `compile --adapters` takes."""
    export(network, data, directory / MODEL)
    export(folded(network), data, directory / FOLDED_MODEL)
    calibration(data, directory / DATA)
    some = data.validation.take(np.arange(min(_JUDGED, len(data.validation))))
    save_arrays(directory / VALIDATION, x=some.x, y=some.y)


def task_model(backbone: Backbone, classes: int, method: Method, seed: int) -> nn.Module:
    """Before its training; every draw comes from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    if method.full:
        return with_head(deepcopy(backbone.network), classes, generator)
    return Adapted(backbone.network, classes, method.rank, method.attention_only, generator)


def adapted_network(directory: Path) -> tuple[Network, Data]:
    """What `adapt` left in `directory`: the network with its adapters, and the data as it takes them."""
    kept = _kept(directory)
    return kept.network, _data_of(kept.spec, kept.seed, kept.backbone)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What a finished adaptation's folder says; `spec` and `seed` of its data."""

    network: Network
    backbone: Backbone
    classes: tuple[str, ...]
    spec: str
    seed: int


def _kept(directory: Path) -> _Kept:
    info = read_json(directory / ADAPTATION, dict, "adapt again", _WHAT)
    with making_sense_of(directory / ADAPTATION, "adapt again", _WHAT):
        base = Path(os.path.normpath(directory.resolve() / str(info["base"])))
        method = Method(int(info["rank"]), bool(info["attention_only"]), bool(info["full"]))
        classes = tuple(map(str, info["classes"]))
        seed, spec = int(info["recipe"]["seed"]), str(info["data"])
        wanted = str(info["base_sha256"])
    backbone = load_backbone(base)
    if weights_sha256(backbone.network) != wanted:
        raise UsageError(
            f"{base} is not the network that {directory} was adapted from",
            "bring its weights back, or adapt again",
        )
    with making_sense_of(directory / ADAPTATION, "adapt again", _WHAT):
        model = task_model(backbone, len(classes), method, seed)
    load_finished(model, directory / "last.pt")
    network = model.network if isinstance(model, Adapted) else model
    assert isinstance(network, Network)
    return _Kept(network.eval(), backbone, classes, spec, seed)


def export_model(directory: Path, model: Path, dynamo: bool = False, fold: bool = False) -> None:
    """ONNX with the adapters beside the layers, or with `fold` inside of them: the backbone's own nodes.
    No image of the task is asked for."""
    kept = _kept(directory)
    about = Normalised(kept.backbone.mean, kept.backbone.std, kept.classes)
    export(folded(kept.network) if fold else kept.network, about, model, dynamo)


def export_adapted(
    directory: Path,
    model: Path,
    calibrate: Path | None,
    test: Path | None,
    dynamo: bool,
    fold: bool,
) -> None:
    """`calibrate`, `test`: .npz of training images, and of test images with their classes."""
    export_model(directory, model, dynamo, fold)
    if calibrate is None and test is None:
        return
    network, data = adapted_network(directory)
    if calibrate is not None:
        calibration(data, calibrate)
    if test is not None:
        info = read_json(directory / ADAPTATION, dict, "adapt again", _WHAT)
        images = fitted_images(sources.load_test(str(info["data"])), network.arch.image)
        save_arrays(test, x=images.x, y=images.y, classes=np.array(data.classes))


def _data_of(spec: str, seed: int, backbone: Backbone) -> Data:
    data = sources.load(spec, seed)
    return fitted(data, backbone.network.arch.image, backbone.mean, backbone.std)


def _refuse_another(directory: Path, asked: dict[str, Any]) -> None:
    """A folder holds one adaptation, once an epoch of it is finished."""
    path = directory / ADAPTATION
    if not (directory / "last.pt").is_file():
        return
    if not path.is_file():
        raise UsageError(
            f"{path} does not exist, which says what was trained there",
            "restore it, choose another -o, or remove the folder",
        )
    kept = read_json(path, dict, "remove the folder", _WHAT)
    other = [_named(key, kept.get(key), v) for key, v in asked.items() if kept.get(key) != v]
    if other:
        raise UsageError(
            f"{directory} holds an adaptation of another {' and '.join(other)}",
            "choose another -o, or give what that one was given",
        )


def _named(key: str, kept: Any, asked: Any) -> str:
    """`key`, of a table with what is another in it."""
    if not isinstance(kept, dict) or not isinstance(asked, dict):
        return key
    other = sorted(n for n in {*kept, *asked} if kept.get(n) != asked.get(n))
    return f"{key} ({', '.join(other)})"


def _write(directory: Path, document: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with atomic_file(directory / ADAPTATION) as part:
        part.write_text(json.dumps(document, indent=1))


def recipe_of(
    epochs: int, batch: int, lr: float, protocol: str, seed: int, amp: bool = False
) -> Recipe:
    """The paper's: AdamW, no decay, a tenth of the epochs to warm up, then a cosine."""
    plain = Recipe(epochs=epochs, batch=batch, lr=lr, protocol=protocol, seed=seed, amp=amp)
    return replace(plain, weight_decay=0.0, warmup_epochs=epochs / 10)
