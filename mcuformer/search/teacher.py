"""A teacher for distillation: a training directory of `mcuformer train`, or any ONNX classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mcuformer.errors import ToolMissingError, UsageError
from mcuformer.files.kept import making_sense_of, read_json
from mcuformer.search.checkpoint import AGAIN, load_finished, read_saved
from mcuformer.search.data import Data, normalisation
from mcuformer.search.families import arch_of
from mcuformer.search.near import localise_network
from mcuformer.search.networks import AnyNetwork, network_of
from mcuformer.search.train import compiled

INFO, ROUNDED_WEIGHTS, RANGES = "train.json", "rounded.pt", "ranges.json"


def load_teacher(path: Path, data: Data, device: torch.device) -> nn.Module:
    """Images [B,C,H,W], normalised as `data` is -> logits [B, classes]; no gradients."""
    if path.is_dir():
        network, info = trained_network(path)
        h, w, c = network.arch.image
        _check(path, data, (c, h, w), network.arch.classes)
        with making_sense_of(path / INFO, "train again", "not what mcuformer train writes"):
            own = normalisation(info.get("mean", data.mean), info.get("std", data.std), c)
        model = Teacher(compiled(network.to(device), device), data, *own)
    elif path.is_file():
        model = _from_onnx(path, data, device)
    else:
        raise UsageError(f"teacher {path} does not exist", "a folder of `train`, or an ONNX file")
    for p in model.parameters():
        p.requires_grad_(False)
    return model.to(device).eval()


def trained_network(directory: Path) -> tuple[AnyNetwork, dict[str, Any]]:
    """The final weights that `train` left in `directory`, and its train.json."""
    if not (directory / INFO).is_file() or not (directory / "last.pt").is_file():
        raise UsageError(f"{directory} holds no training", "mcuformer train writes one")
    info, network = read_json(
        directory / INFO,
        lambda table: (dict(table), network_of(arch_of(table["arch"]))),
        "restore the file, or train again",
        "not what mcuformer train writes",
    )
    if info.get("qat"):
        state = read_saved(directory / ROUNDED_WEIGHTS)
        with making_sense_of(directory / ROUNDED_WEIGHTS, AGAIN, "of another network"):
            network.load_state_dict(state)
        return network.eval(), info
    load_finished(network, directory / "last.pt")
    if info.get("localized"):
        with making_sense_of(directory / INFO, "train again", "not what mcuformer train writes"):
            localise_network(network, info["localized"])
    return network.eval(), info


class Teacher(nn.Module):
    """Undoes the normalisation of `data` and applies the teacher's own."""

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        data: Data,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.network = network
        self.gain: Tensor
        self.shift: Tensor
        seen, own = np.array(data.std), np.array(std)
        gain = seen / own
        shift = (np.array(data.mean) - np.array(mean)) / own
        for name, values in (("gain", gain), ("shift", shift)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x * self.gain + self.shift)


class _Session(nn.Module):
    """A model in onnxruntime; one that takes a single image gets them one by one."""

    def __init__(self, session: Any, single: bool) -> None:
        super().__init__()
        self.session, self.single = session, single
        self.name = session.get_inputs()[0].name

    def forward(self, x: Tensor) -> Tensor:
        images = x.detach().cpu().float().numpy()
        parts = np.split(images, len(images)) if self.single else [images]
        rows = [self.session.run(None, {self.name: part})[0] for part in parts]
        return torch.from_numpy(np.concatenate(rows)).to(x.device)


def _from_onnx(path: Path, data: Data, device: torch.device) -> Teacher:
    try:
        import onnxruntime
    except ImportError:
        raise ToolMissingError(
            "an ONNX teacher needs onnxruntime", "pip install 'mcuformer[validate]'"
        ) from None
    wanted = [f"{'CUDA' if device.type == 'cuda' else 'CPU'}ExecutionProvider"]
    providers = [p for p in wanted if p in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(
            str(path), providers=providers or ["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises classes of its own
        first = str(error).splitlines()[0][:200]
        raise UsageError(f"teacher {path} is no ONNX model: {first}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or len(outputs[0].shape) != 2:
        raise UsageError(f"teacher {path} is no classifier of one image [N,C,H,W] -> [N,classes]")
    _check(path, data, tuple(inputs[0].shape[1:]), outputs[0].shape[1])
    notes = session.get_modelmeta().custom_metadata_map
    means, deviations = notes.get("mcuformer.mean"), notes.get("mcuformer.std")
    todo = "mcuformer.mean and mcuformer.std have a number for each channel, with commas"
    with making_sense_of(path, todo, "no file that says how its images are normalised"):
        mean, std = normalisation(
            data.mean if means is None else means.split(","),
            data.std if deviations is None else deviations.split(","),
            data.image[2],
        )
    return Teacher(_Session(session, inputs[0].shape[0] == 1), data, mean, std)


def _check(path: Path, data: Data, shape: tuple[Any, ...], classes: Any) -> None:
    """A size that the model leaves open is a string or None."""
    h, w, c = data.image
    if isinstance(classes, int) and classes != len(data.classes):
        raise UsageError(
            f"teacher {path} has {classes} classes, the data {len(data.classes)}",
            "a teacher has to be trained on the same classes in the same order",
        )
    if any(isinstance(s, int) and s != n for s, n in zip(shape, (c, h, w), strict=True)):
        sizes = "x".join(str(s) for s in shape)
        raise UsageError(f"teacher {path} takes images of {sizes}, the data has {c}x{h}x{w}")
