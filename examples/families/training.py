"""What the training scripts here share: steps that go on after a stop, a log, and the export.

Needs torch, onnx and mcuformer (its Muon).
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from mcuformer.search.muon import Muon

DECAY = 0.05


class Log:
    """Lines on the terminal and at the end of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, line: str) -> None:
        print(line, flush=True)
        with self.path.open("a") as file:
            file.write(line + "\n")


def fit(
    model: nn.Module,
    epoch_of: Callable[[torch.Generator], Iterable[tuple]],
    loss_of: Callable[..., Tensor],
    epochs: int,
    steps: int,
    rate: float,
    seed: int,
    state: Path,
    log: Log,
) -> None:
    """Muon for the matrices, AdamW for the rest, one cycle of rates.

    `epoch_of(rng)` gives an epoch's `steps` batches, `loss_of(*batch)` their loss. After every epoch all that the
    next one depends on is written to `state`; where that file is there, training goes on from it, and
    ends with the same weights as one that was never stopped.
    """
    rng = torch.Generator().manual_seed(seed)
    muon, adamw = optimizers(model, rate)
    parts = {"model": model, "muon": muon, "adamw": adamw}
    done = 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        rng.set_state(saved["rng"])
        done = saved["done"]
        log(f"goes on after epoch {done}")
    for epoch in range(done, epochs):
        start, losses = time.time(), []
        model.train()
        for i, batch in enumerate(epoch_of(rng)):
            now = rate * one_cycle((epoch + i / steps) / epochs)
            for optimizer, factor in ((muon, 1.5), (adamw, 1.0)):
                for group in optimizer.param_groups:
                    group["lr"] = factor * now
            loss = loss_of(*batch)
            model.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            muon.step()
            adamw.step()
            losses.append(loss.item())
        kept = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**kept, "rng": rng.get_state(), "done": epoch + 1}, state.with_suffix(".part"))
        state.with_suffix(".part").replace(state)
        seconds = time.time() - start
        log(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}, {seconds:.0f} s")


def optimizers(model: nn.Module, rate: float) -> tuple[Muon, torch.optim.AdamW]:
    """Matrices: weights of linear layers and of convolutions over all channels, but the classifier's."""
    named = dict(model.named_parameters())
    matrices = {
        name: p
        for name, p in named.items()
        if p.ndim in (2, 4)
        and p.shape[1] > 1
        and not name.startswith("head")
        and "positions" not in name
    }
    rest = [p for name, p in named.items() if name not in matrices]
    heavy = [p for p in rest if p.ndim > 1]
    light = [p for p in rest if p.ndim <= 1]
    groups = [{"params": heavy, "weight_decay": DECAY}, {"params": light, "weight_decay": 0.0}]
    return (
        Muon(list(matrices.values()), lr=rate, weight_decay=DECAY),
        torch.optim.AdamW(groups, lr=rate),
    )


def one_cycle(done: float) -> float:
    """0..1 of the whole: up in the first tenth, then down to 0 as a cosine."""
    return done / 0.1 if done < 0.1 else 0.5 + 0.5 * float(np.cos(np.pi * (done - 0.1) / 0.9))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The IDX format: two zero bytes, a type, the rank, big-endian sizes, then the bytes."""
    raw = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sizes)


def export(
    model: nn.Module, image: Tensor, outputs: list[str], path: Path, notes: Mapping[str, str]
) -> None:
    """TorchScript exporter, opset 17; float16 weights, each with a Cast; `notes` go into the metadata."""
    torch.onnx.export(
        model.eval(), (image,), str(path), opset_version=17, dynamo=False,
        input_names=["image"], output_names=outputs,
    )  # fmt: skip
    proto = onnx.load(path)
    halve(proto.graph)
    onnx.helper.set_model_props(proto, dict(notes))
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def halve(graph: onnx.GraphProto, at_least: int = 256) -> None:
    """Float32 initialisers of `at_least` numbers become float16 with a Cast in front of their use."""
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= at_least:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(
                onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)
            )
    for i, cast in enumerate(casts):
        graph.node.insert(i, cast)
