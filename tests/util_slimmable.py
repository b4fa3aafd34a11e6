"""Small random slimmable vision transformers: ONNX files whose weights are slices of one set's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IMAGE, PATCH, TOKENS, CLASSES = 8, 4, 4, 5


@dataclass(frozen=True)
class Slimmable:
    """`width` of the full network, and how many blocks; `pool`: "mean" or "token"."""

    width: int = 32
    heads: int = 2
    blocks: int = 1
    pool: str = "mean"
    seed: int = 0


def weights_of(net: Slimmable) -> dict[str, NDArray[np.float32]]:
    """The full network's, outputs first, as a training has them."""
    rng, e = np.random.default_rng(net.seed), net.width

    def drawn(*shape: int, scale: float | None = None) -> NDArray[np.float32]:
        spread = scale or float(np.prod(shape[1:])) ** -0.5
        return (rng.normal(size=shape) * spread).astype(np.float32)

    found = {"patch.w": drawn(e, 1, PATCH, PATCH), "patch.b": drawn(e, scale=0.1)}
    found["position"] = drawn(TOKENS, e, scale=0.3)
    for i in range(net.blocks):
        for name, n, k in (("qkv", 3 * e, e), ("proj", e, e), ("fc1", 2 * e, e), ("fc2", e, 2 * e)):
            found[f"{i}.{name}.w"], found[f"{i}.{name}.b"] = drawn(n, k), drawn(n, scale=0.1)
        for name in ("norm1", "norm2"):
            found[f"{i}.{name}.g"] = 1 + drawn(e, scale=0.1)
            found[f"{i}.{name}.b"] = drawn(e, scale=0.1)
    found["norm.g"], found["norm.b"] = 1 + drawn(e, scale=0.1), drawn(e, scale=0.1)
    return found | {"head.w": drawn(CLASSES, e), "head.b": drawn(CLASSES, scale=0.1)}


def sliced(
    weights: Mapping[str, NDArray], ratio: float, last: bool
) -> dict[str, NDArray[np.float32]]:
    """The first or the last share of every axis that is as wide as the network."""
    kept = {"patch.w": 1, "position": -1, "head.w": -2, "head.b": 0}
    found = {}
    for name, w in weights.items():
        axes = {1: (0,), -1: (1,), -2: (1,), 0: ()}.get(kept.get(name, 9), range(w.ndim))
        for axis in axes:
            count = round(w.shape[axis] * ratio)
            w = w.take(range(w.shape[axis] - count, w.shape[axis]) if last else range(count), axis)
        found[name] = np.ascontiguousarray(w)
    return found


def slimmable_files(
    folder: Path,
    net: Slimmable = Slimmable(),
    ratios: Sequence[float] = (0.25, 0.5, 0.75, 1),
    nested: bool = False,
) -> list[Path]:
    """width-R.onnx of each: the smallest and the full one are first slices, the others last ones;
    `nested`: all first."""
    weights, files = weights_of(net), []
    for ratio in ratios:
        last = not nested and ratio not in (min(ratios), 1)
        files.append(folder / f"width-{ratio:g}.onnx")
        onnx.save(model_of(net, sliced(weights, ratio, last), round(net.width * ratio)), files[-1])
    return files


def slimmable_data(path: Path, count: int = 24, seed: int = 1) -> Path:
    """uint8 images and labels."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (count, 1, IMAGE, IMAGE), dtype=np.uint8)
    np.savez(path, x=x, y=np.arange(count) % CLASSES)
    return path


def model_of(net: Slimmable, w: Mapping[str, NDArray], e: int) -> onnx.ModelProto:
    """Attention's scale is a product on q, so that it is folded into q's weights: (E / heads)^-0.5 of
    the full width, whatever `e`."""
    nodes: list[onnx.NodeProto] = []
    consts: dict[str, NDArray] = {}
    head = e // net.heads

    def const(name: str, array: NDArray) -> str:
        consts[name] = array
        return name

    def node(kind: str, inputs: list[str], out: str, **attrs: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [out], name=f"/{out}", **attrs))
        return out

    def shape(x: str, out: str, *sizes: int) -> str:
        return node("Reshape", [x, const(f"{out}.shape", np.array(sizes))], out)

    def norm(x: str, name: str) -> str:
        affine = [const(f"{name}.{part}", w[f"{name}.{part}"]) for part in "gb"]
        return node("LayerNormalization", [x, *affine], f"{name}.y", axis=-1, epsilon=1e-6)

    def linear(x: str, name: str) -> str:
        turned = const(f"{name}.w", np.ascontiguousarray(w[f"{name}.w"].T))
        y = node("MatMul", [x, turned], f"{name}.mm")
        return node("Add", [y, const(f"{name}.b", w[f"{name}.b"])], f"{name}.y")

    stem = [const("patch.w", w["patch.w"]), const("patch.b", w["patch.b"])]
    x = node("Conv", ["image", *stem], "patch", kernel_shape=[PATCH] * 2, strides=[PATCH] * 2)
    x = node("Transpose", [shape(x, "rows", 1, e, TOKENS)], "tokens", perm=[0, 2, 1])
    x = node("Add", [x, const("position", w["position"][None])], "embedded")
    for i in range(net.blocks):
        qkv = shape(
            linear(norm(x, f"{i}.norm1"), f"{i}.qkv"), f"{i}.apart", 1, TOKENS, 3, net.heads, head
        )
        qkv = node("Transpose", [qkv], f"{i}.first", perm=[2, 0, 3, 1, 4])
        q, k, v = (
            node("Gather", [qkv, const(f"{i}.{n}.index", np.array(j))], f"{i}.{n}", axis=0)
            for j, n in enumerate("qkv")
        )
        scale = const(f"{i}.scale", np.float32((net.width // net.heads) ** -0.5))
        q = node("Mul", [q, scale], f"{i}.q.scaled")
        k = node("Transpose", [k], f"{i}.kt", perm=[0, 1, 3, 2])
        p = node("Softmax", [node("MatMul", [q, k], f"{i}.scores")], f"{i}.p", axis=-1)
        y = node(
            "Transpose", [node("MatMul", [p, v], f"{i}.mixed")], f"{i}.back", perm=[0, 2, 1, 3]
        )
        y = shape(y, f"{i}.joined", 1, TOKENS, e)
        x = node("Add", [x, linear(y, f"{i}.proj")], f"{i}.added1")
        hidden = _gelu(node, const, linear(norm(x, f"{i}.norm2"), f"{i}.fc1"), i)
        x = node("Add", [x, linear(hidden, f"{i}.fc2")], f"{i}.added2")
    x = norm(x, "norm")
    if net.pool == "mean":
        x = node("ReduceMean", [x], "pooled", axes=[1], keepdims=0)
    else:
        x = node("Gather", [x, const("first", np.array(0))], "pooled", axis=1)
    nodes.append(helper.make_node("Identity", [linear(x, "head")], ["logits"], name="/logits"))
    graph = helper.make_graph(
        nodes, "slimmable",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, IMAGE, IMAGE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in consts.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"mcuformer.mean": "0.5", "mcuformer.std": "0.25"})
    return model


def _gelu(node, const, x: str, i: int) -> str:  # type: ignore[no-untyped-def]
    half, one, root = (np.float32(v) for v in (0.5, 1.0, 2**0.5))
    y = node("Div", [x, const(f"{i}.root", root)], f"{i}.div")
    y = node("Add", [node("Erf", [y], f"{i}.erf"), const(f"{i}.one", one)], f"{i}.plus")
    return str(
        node("Mul", [node("Mul", [x, y], f"{i}.twice"), const(f"{i}.half", half)], f"{i}.gelu")
    )
