"""Vision transformers in the benchmark's shapes, as ONNX files: timm's structure, seeded random weights.

Nothing is downloaded and torch is not needed; what the benchmark counts depends on shapes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MEAN, STD = 0.5, 0.25


@dataclass(frozen=True)
class Shape:
    """A ViT on square RGB images; `class_token` False pools by the mean of all tokens."""

    name: str
    image: int
    patch: int
    width: int
    depth: int
    heads: int
    classes: int
    class_token: bool
    mlp_ratio: int = 4

    @property
    def tokens(self) -> int:
        return (self.image // self.patch) ** 2 + self.class_token


DEIT_TINY = Shape("deit_tiny", 224, 16, 192, 12, 3, 1000, True)
B = Shape("B", 112, 16, 96, 6, 3, 100, False)


class Writer:
    """Nodes and weights of one graph under construction."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray] = {}

    def const(self, name: str, data: NDArray) -> str:
        self.weights[name] = data
        return name

    def ints(self, name: str, *values: int) -> str:
        return self.const(name, np.array(values, np.int64))

    def random(self, name: str, scale: float, *shape: int) -> str:
        return self.const(name, (self.rng.normal(size=shape) * scale).astype(np.float32))

    def node(self, kind: str, inputs: list[str], out: str, **attrs: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [out], name=f"/{out}", **attrs))
        return out

    def norm(self, x: str, name: str, width: int) -> str:
        gamma = 1 + 0.1 * self.rng.normal(size=width)
        scale = self.const(f"{name}.weight", gamma.astype(np.float32))
        shift = self.random(f"{name}.bias", 0.1, width)
        return self.node("LayerNormalization", [x, scale, shift], name, axis=-1, epsilon=1e-6)

    def linear(self, x: str, name: str, k: int, n: int) -> str:
        y = self.node("MatMul", [x, self.random(f"{name}.weight", k**-0.5, k, n)], f"{name}.mm")
        return self.node("Add", [self.random(f"{name}.bias", 0.1, n), y], name)


def write_vit(shape: Shape, folder: Path, seed: int = 0) -> Path:
    """`folder`/NAME.onnx, opset 17, mean and std of the pixels in its metadata."""
    w = Writer(seed)
    x = _embed(w, shape)
    for i in range(shape.depth):
        x = _block(w, x, f"blocks.{i}", shape)
    _head(w, w.norm(x, "norm", shape.width), shape)
    image = [1, 3, shape.image, shape.image]
    graph = helper.make_graph(
        w.nodes, shape.name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, shape.classes])],
        [numpy_helper.from_array(data, name) for name, data in w.weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"mcuformer.mean": str(MEAN), "mcuformer.std": str(STD)})
    path = folder / f"{shape.name}.onnx"
    onnx.save(model, path)
    return path


def _embed(w: Writer, shape: Shape) -> str:
    p, e = shape.patch, shape.width
    kernel = w.random("patch_embed.weight", (3 * p * p) ** -0.5, e, 3, p, p)
    x = w.node("Conv", ["image", kernel, w.random("patch_embed.bias", 0.1, e)], "patches",
               kernel_shape=[p, p], strides=[p, p])  # fmt: skip
    patches = shape.tokens - shape.class_token
    x = w.node("Reshape", [x, w.ints("to_rows", 1, e, patches)], "rows")
    x = w.node("Transpose", [x], "tokens", perm=[0, 2, 1])
    if shape.class_token:
        x = w.node("Concat", [w.random("cls_token", 0.5, 1, 1, e), x], "with_class", axis=1)
    return w.node("Add", [x, w.random("pos_embed", 0.5, 1, shape.tokens, e)], "embedded")


def _block(w: Writer, x: str, name: str, shape: Shape) -> str:
    e, hidden = shape.width, shape.width * shape.mlp_ratio
    y = _attention(w, w.norm(x, f"{name}.norm1", e), f"{name}.attn", shape)
    x = w.node("Add", [x, w.linear(y, f"{name}.attn.proj", e, e)], f"{name}.add1")
    y = _gelu(w, w.linear(w.norm(x, f"{name}.norm2", e), f"{name}.mlp.fc1", e, hidden), name)
    return w.node("Add", [x, w.linear(y, f"{name}.mlp.fc2", hidden, e)], f"{name}.add2")


def _attention(w: Writer, x: str, name: str, shape: Shape) -> str:
    t, e, h = shape.tokens, shape.width, shape.heads
    qkv = w.linear(x, f"{name}.qkv", e, 3 * e)
    qkv = w.node("Reshape", [qkv, w.ints(f"{name}.split", 1, t, 3, h, e // h)], f"{name}.r")
    qkv = w.node("Transpose", [qkv], f"{name}.first", perm=[2, 0, 3, 1, 4])
    q, k, v = (
        w.node("Gather", [qkv, w.const(f"{name}.{i}", np.array(i))], f"{name}.{letter}", axis=0)
        for i, letter in enumerate("qkv")
    )
    k = w.node("Transpose", [k], f"{name}.kt", perm=[0, 1, 3, 2])
    scale = w.const(f"{name}.scale", np.float32((e // h) ** -0.5))
    scores = w.node("Mul", [w.node("MatMul", [q, k], f"{name}.qk"), scale], f"{name}.scores")
    y = w.node("MatMul", [w.node("Softmax", [scores], f"{name}.p", axis=-1), v], f"{name}.pv")
    y = w.node("Transpose", [y], f"{name}.back", perm=[0, 2, 1, 3])
    return w.node("Reshape", [y, w.ints(f"{name}.join", 1, t, e)], f"{name}.joined")


def _gelu(w: Writer, x: str, name: str) -> str:
    """0.5 x (1 + erf(x / sqrt 2)), as torch's TorchScript exporter writes it."""
    one, half, root = (
        w.const(f"{name}.gelu.{i}", np.float32(v)) for i, v in enumerate((1, 0.5, 2**0.5))
    )
    y = w.node("Erf", [w.node("Div", [x, root], f"{name}.g1")], f"{name}.g2")
    y = w.node("Mul", [x, w.node("Add", [y, one], f"{name}.g3")], f"{name}.g4")
    return w.node("Mul", [y, half], f"{name}.mlp.act")


def _head(w: Writer, x: str, shape: Shape) -> None:
    if shape.class_token:
        x = w.node("Gather", [x, w.const("first", np.array(0))], "pooled", axis=1)
    else:
        x = w.node("ReduceMean", [x], "pooled", axes=[1], keepdims=0)
    w.linear(x, "logits", shape.width, shape.classes)


def smooth_pixels(shape: Shape, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Low-frequency noise [count, 3, H, W]: what calibration of random weights needs."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 3, 8, 8))
    at = np.linspace(0, 7, shape.image)
    low = np.floor(at).astype(int).clip(0, 6)
    part = at - low
    lines = coarse[:, :, low] * (1 - part)[:, None] + coarse[:, :, low + 1] * part[:, None]
    return (lines[..., low] * (1 - part) + lines[..., low + 1] * part).astype(np.uint8)
