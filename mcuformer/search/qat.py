"""Quantisation-aware training: a network learns with the rounding that its integer code will do.

Ranges, bases and merged layers are those of `compile`: the network is exported, imported, calibrated
and assigned by the very code (quant/), and each weighted operation of that graph is a function of
the network's own parameters. LayerNorms, statistics of batch norms, positions and tables of relative
places stay as they were.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcuformer.compile.options import CompileOptions
from mcuformer.errors import McuformerError
from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.assign import assign
from mcuformer.quant.assignment import Assignment
from mcuformer.quant.rewrites.rotate_stream import rotation
from mcuformer.quant.stored import stored
from mcuformer.search.data import Data
from mcuformer.search.fake_quant import RoundedEvaluator, TorchGrid, rounded_weights
from mcuformer.search.finish import calibration, export
from mcuformer.search.networks import AnyNetwork
from mcuformer.search.train import Recipe, Reporter, Trainer, accuracy

_CLOSE = 2e-3  # of the largest weight: float32 products in another order
_TINY = 1e-4  # norm gains below it are not divided by


@dataclass(slots=True, eq=False)
class WeightOrigin:
    """How the weights of one operation of the graph follow from the network's.

    w = left^T gamma W^T gain right and b = (bias + beta W^T) right; `rows` are the op's of the
    module. gain and bias are those of a batch norm behind it, with the statistics it has kept.
    """

    module: nn.Module
    rows: slice
    norm: nn.LayerNorm | None
    batch_norm: nn.BatchNorm2d | None
    left: Tensor | None = None
    right: Tensor | None = None

    def matrix(self) -> Tensor:
        """W^T as [K, N], a kernel as [kh, kw, C, N]."""
        w = self.module.weight
        assert isinstance(w, Tensor)
        w = w[self.rows].permute(2, 3, 1, 0) if w.ndim == 4 else w[self.rows].T
        return w if self.batch_norm is None else w * self.gain()

    def gain(self) -> Tensor:
        norm = self.batch_norm
        assert norm is not None and norm.running_var is not None
        return norm.weight * (norm.running_var + norm.eps).rsqrt()

    def bias(self) -> Tensor:
        norm, b = self.batch_norm, self.module.bias
        if norm is not None:
            assert norm.running_mean is not None
            return norm.bias - norm.running_mean * self.gain()
        if isinstance(b, Tensor):
            return b[self.rows]
        w = self.module.weight
        assert isinstance(w, Tensor)
        return torch.zeros(w[self.rows].shape[0], device=w.device)

    def weights(self) -> tuple[Tensor, Tensor]:
        w, b = self.matrix(), self.bias()
        if self.norm is not None:
            b = b + self.norm.bias @ w
            w = self.norm.weight[:, None] * w
        w = w if self.left is None else self.left.T @ w
        return (w, b) if self.right is None else (w @ self.right, b @ self.right)

    @torch.no_grad()
    def store(self, w: Tensor) -> None:
        """Make `weights()` give `w` and the same b, as far as the module has a bias."""
        before = self.weights()[1]
        w = w if self.right is None else w @ self.right.T
        w = w if self.left is None else self.left @ w
        if self.norm is not None:
            gain = self.norm.weight
            w = w / torch.where(gain.abs() < _TINY, torch.full_like(gain, _TINY), gain)[:, None]
        w = w if self.batch_norm is None else w / self.gain()
        own = self.module.weight
        assert isinstance(own, Tensor)
        own[self.rows] = w.permute(3, 2, 0, 1) if w.ndim == 4 else w.T
        if isinstance(self.module.bias, Tensor):
            change = before - self.weights()[1]
            self.module.bias[self.rows] += change if self.right is None else change @ self.right.T


class Rounded:
    """The network as its integer code computes it; a loss for Trainer (`teacher` beside labels)."""

    def __init__(
        self, network: AnyNetwork, data: Data, bits: int = 8, teacher: nn.Module | None = None
    ) -> None:
        self.network, self.bits, self.teacher = network, bits, teacher
        device = next(network.parameters()).device
        self.graph, self.plan = ranges(network, data)
        self.grids = {
            n: TorchGrid.of(q, self.plan.dtypes[n], device) for n, q in self.plan.qparams.items()
        }
        self.layers = {
            op.name: bound(network, self.graph, op)
            for op in self.graph.ops
            if op.kind in ("linear", "conv2d", "patch_embed")
        }
        self.evaluate = RoundedEvaluator(self.graph, self.grids, self._weights, device)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, random: Random) -> Tensor:
        logits = self.evaluate(x)
        loss = F.cross_entropy(logits, y)
        if self.teacher is not None:
            with torch.no_grad():
                answers = self.teacher(x).softmax(dim=1)
            loss = 0.5 * loss + 0.5 * F.cross_entropy(logits, answers)
        loss.backward()
        return loss.detach()

    def _weights(self, op: Op) -> tuple[Tensor, Tensor]:
        w, b = self.layers[op.name].weights()
        return self._on_grid(op, w), b

    def _on_grid(self, op: Op, w: Tensor) -> Tensor:
        """Rounded where `lower` rounds: with the scales of the input's channels inside."""
        scale = self.grids[str(op.inputs[0])].scale
        inner = (scale if scale.ndim else scale.expand(w.shape[-2]))[:, None]
        flat = rounded_weights((w * inner).reshape(-1, w.shape[-1]), self.bits)
        return flat.reshape(w.shape) / inner

    @torch.no_grad()
    def snap(self) -> str:
        """Leave the network with weights on their grid; the ranges that go with them (`export`).

        Compile finds the same integers there.
        """
        for op in self.graph.ops:
            if op.name in self.layers:
                layer = self.layers[op.name]
                layer.store(self._on_grid(op, layer.weights()[0]))
        return stored(self.plan, self.bits)


def ranges(network: AnyNetwork, data: Data) -> tuple[Graph, Assignment]:
    """The prepared graph and its assignment, as compile has them after its calibration."""
    from mcuformer.compile.quantise import normalisations, pixel_formats, statistics
    from mcuformer.frontend import load_model

    device = next(network.parameters()).device
    with tempfile.TemporaryDirectory() as folder:
        model, images = Path(folder) / "model.onnx", Path(folder) / "calibration.npz"
        export(network, data, model)
        calibration(data, images)
        options = CompileOptions(model=model, board="", calibration=images)
        graph = load_model(model, {})
        known = normalisations(options, graph)
        stats = statistics(options, graph, known, True, lambda *_: None)
    network.to(device)
    plan = assign(stats, "8", pixel_formats(options, stats.graph, known))
    return stats.graph, plan


def bound(network: AnyNetwork, graph: Graph, op: Op) -> WeightOrigin:
    """The layer of `op`: module by its ONNX node, norm by its input, basis by comparing weights."""
    path = op.origin[0].strip("/").rsplit("/", 1)[0].replace("/", ".")
    module = network.get_submodule(path)
    layer = WeightOrigin(
        module, _rows(module, path, op), _norm(network, graph, op), _batch_norm(network, path)
    )
    wanted = torch.tensor(graph.const(op.inputs[1]), dtype=torch.float32)
    plain = layer.weights()[0].detach().cpu()
    if wanted.shape != plain.shape:
        raise McuformerError(f"{op.name}: {tuple(wanted.shape)} is not {tuple(plain.shape)}")
    for left in (None, plain.shape[-2]):
        for right in (None, plain.shape[-1]):
            turns = [None if n is None else _turn(n) for n in (left, right)]
            w = plain if turns[0] is None else turns[0].T @ plain
            w = w if turns[1] is None else w @ turns[1]
            if torch.allclose(w, wanted, rtol=0, atol=_CLOSE * float(wanted.abs().max())):
                device = next(network.parameters()).device
                layer.left, layer.right = (None if t is None else t.to(device) for t in turns)
                return layer
    raise McuformerError(f"{op.name}: its weights are not those of {path}")


def _turn(size: int) -> Tensor:
    return torch.tensor(rotation(size), dtype=torch.float32)


def _rows(module: nn.Module, path: str, op: Op) -> slice:
    """q, k and v are thirds of one layer."""
    part = op.name.rsplit(".", 1)[-1]
    if "qkv" not in path.split(".") or part not in ("q", "k", "v"):
        return slice(None)
    weight = module.weight
    assert isinstance(weight, Tensor)
    third = weight.shape[0] // 3
    at = "qkv".index(part) * third
    return slice(at, at + third)


def _batch_norm(network: AnyNetwork, path: str) -> nn.BatchNorm2d | None:
    """Of the convolutions of a stem (net.py): conv0 has norm0 behind it."""
    parent, _, name = path.rpartition(".")
    found = getattr(network.get_submodule(parent), name.replace("conv", "norm"), None)
    return found if isinstance(found, nn.BatchNorm2d) else None


def _norm(network: AnyNetwork, graph: Graph, op: Op) -> nn.LayerNorm | None:
    """The LayerNorm that was taken into `op`, through selections of rows and means."""
    made = graph.producers()
    source = made.get(str(op.inputs[0]))
    while source is not None and source.kind in ("slice", "gather", "mean"):
        source = made.get(str(source.inputs[0]))
    if source is None or source.kind != "layernorm":
        return None
    found = network.get_submodule(source.origin[0].strip("/").rsplit("/", 1)[0].replace("/", "."))
    return found if isinstance(found, nn.LayerNorm) else None


SHARE, SLOWER = 4, 4  # of the epochs and of the learning rate of the training before it


def qat_recipe(recipe: Recipe) -> Recipe:
    """A quarter as long and a quarter as fast as the training that it follows."""
    epochs = max(1, -(-recipe.epochs // SHARE))
    return replace(
        recipe,
        epochs=epochs,
        lr=recipe.lr / SLOWER,
        warmup_epochs=min(recipe.warmup_epochs, epochs / 4),
    )


def train_rounded(
    network: AnyNetwork,
    data: Data,
    recipe: Recipe,
    directory: Path,
    bits: int = 8,
    teacher: nn.Module | None = None,
    report: Reporter | None = None,
) -> tuple[dict[str, Any], str]:
    """Train `network` on under rounding and leave its weights on their grid; its ranges for `export`.

    Validation accuracies in percent with all rounding: before and after. `directory` keeps last.pt.
    """
    device = next(network.parameters()).device

    def percent(rounded: Rounded) -> float:
        return accuracy(rounded.evaluate, data, data.validation, device)

    loss = Rounded(network, data, bits, teacher)
    before = percent(loss)
    about = {"weight_bits": bits}
    trainer = Trainer(network, data, recipe, directory, loss, device=device, about=about)
    trainer.run(report)
    kept = loss.snap()
    network.eval()
    told = {
        "epochs": recipe.epochs,
        "before": before,
        "validation": percent(loss),
        "weight_bits": bits,
    }
    return told, kept
