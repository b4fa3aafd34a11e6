"""Random canonical (float stage) transformers, seeded, for tests of every stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Builder, Graph
from mcuformer.ir.types import TensorType, Value
from mcuformer.passes import run_float_passes


@dataclass(frozen=True)
class VitConfig:
    """A small ViT; image size need not be a multiple of anything else than `patch`."""

    image: tuple[int, int] = (12, 12)
    patch: int = 4
    width: int = 16
    heads: int = 2
    head_dim: int | None = None  # None: width // heads
    hidden: int = 32
    blocks: int = 2
    classes: int = 5
    qkv_bias: bool = True
    bias: bool = True
    pre_norm: bool = True
    pool: str = "token"  # "token", "mean", "none"
    activation: str = "gelu"
    qk_norm: bool = False
    attention_bias: bool = False
    rank: int | None = None  # q, k and v share a down-projection to `rank`
    stem: bool = False  # convolutions 3x3 (stride 2, depthwise, stride 2) instead of patches
    seed: int = 0


class Net:
    """A Builder with float32 weights drawn from a seeded generator."""

    def __init__(self, name: str, seed: int) -> None:
        self.b = Builder(name, "float")
        self.rng = np.random.default_rng(seed)

    def weights(self, stem: str, *shape: int, scale: float) -> str:
        return self.b.const(stem, (self.rng.normal(size=shape) * scale).astype(np.float32))

    def width(self, x: str) -> int:
        return self.b.values[x].type.shape[-1]

    def rows(self, x: str) -> int:
        return self.b.values[x].type.shape[0]

    def emit(
        self, kind: str, name: str, inputs: list[str | None], shape: tuple[int, ...], **attrs: Any
    ) -> str:
        if kind == "reshape":
            attrs["shape"] = shape
        return self.b.op(kind, name, inputs, TensorType(shape, "float32"), attrs, (f"/{name}",))

    def image(self, name: str, *shape: int) -> None:
        """A graph input [H, W, C]."""
        self.b.values[name] = Value(name, TensorType(shape, "float32"))

    def tokens(self, name: str, rows: int, width: int) -> None:
        """A graph input [T, C]."""
        self.b.values[name] = Value(name, TensorType((rows, width), "float32"))

    def conv(
        self, x: str, n: int, name: str, kernel: int, stride: int, pad: int, group: int = 1
    ) -> str:
        h, w, c = self.b.values[x].type.shape
        size = [(s + 2 * pad - kernel) // stride + 1 for s in (h, w)]
        scale = 1.0 / np.sqrt(kernel * kernel * c // group)
        inputs: list[str | None] = [
            x,
            self.weights(f"{name}.weight", kernel, kernel, c // group, n, scale=scale),
            self.weights(f"{name}.bias", n, scale=0.1),
        ]
        return self.emit(
            "conv2d",
            name,
            inputs,
            (*size, n),
            strides=(stride, stride),
            pads=(pad, pad, pad, pad),
            group=group,
        )

    def linear(self, x: str, n: int, name: str, bias: bool = True, gain: float = 1.0) -> str:
        k = self.width(x)
        w = self.weights(f"{name}.weight", k, n, scale=gain / np.sqrt(k))
        inputs: list[str | None] = [x, w]
        if bias:
            inputs.append(self.weights(f"{name}.bias", n, scale=0.3))
        return self.emit("linear", name, inputs, (self.rows(x), n))

    def layernorm(self, x: str, name: str, groups: int = 1) -> str:
        c = self.width(x)
        gamma = (1.0 + 0.2 * self.rng.normal(size=c)).astype(np.float32)
        inputs: list[str | None] = [x, self.b.const(f"{name}.weight", gamma)]
        inputs.append(self.weights(f"{name}.bias", c, scale=0.1))
        return self.emit("layernorm", name, inputs, (self.rows(x), c), eps=1e-6, groups=groups)

    def unary(self, x: str, fn: str, name: str) -> str:
        return self.emit("unary", name, [x], self.b.values[x].type.shape, fn=fn)

    def add(self, a: str, b: str, name: str) -> str:
        return self.emit("add", name, [a, b], self.b.values[a].type.shape)

    def columns(self, x: str, start: int, stop: int, name: str) -> str:
        shape = (self.rows(x), stop - start)
        return self.emit("slice", name, [x], shape, axis=1, start=start, stop=stop)

    def first_row(self, x: str, name: str) -> str:
        return self.emit("slice", name, [x], (1, self.width(x)), axis=0, start=0, stop=1)


def attention(net: Net, x: str, cfg: VitConfig, name: str) -> str:
    """Multi-head self attention with its projection back to the model's width."""
    d = cfg.head_dim or cfg.width // cfg.heads
    inner, rows = d * cfg.heads, net.rows(x)
    if cfg.rank:
        x = net.linear(x, cfg.rank, f"{name}.down", bias=False)
    qkv = net.linear(x, 3 * inner, f"{name}.qkv", cfg.qkv_bias)
    q, k, v = (
        net.columns(qkv, i * inner, (i + 1) * inner, f"{name}.{c}") for i, c in enumerate("qkv")
    )
    if cfg.qk_norm:
        q = net.layernorm(q, f"{name}.q_norm", cfg.heads)
        k = net.layernorm(k, f"{name}.k_norm", cfg.heads)
    inputs: list[str | None] = [q, k, v]
    if cfg.attention_bias:
        inputs.append(net.weights(f"{name}.bias", cfg.heads, rows, rows, scale=0.5))
    o = net.emit("attention", f"{name}.sdpa", inputs, (rows, inner), heads=cfg.heads, scale=d**-0.5)
    return net.linear(o, cfg.width, f"{name}.proj", cfg.bias)


def mlp(net: Net, x: str, cfg: VitConfig, name: str) -> str:
    h = net.unary(net.linear(x, cfg.hidden, f"{name}.fc1", cfg.bias), cfg.activation, f"{name}.act")
    return net.linear(h, cfg.width, f"{name}.fc2", cfg.bias)


def block(net: Net, x: str, cfg: VitConfig, name: str) -> str:
    if cfg.pre_norm:
        y = attention(net, net.layernorm(x, f"{name}.norm1"), cfg, f"{name}.attn")
        x = net.add(x, y, f"{name}.add1")
        y = mlp(net, net.layernorm(x, f"{name}.norm2"), cfg, f"{name}.mlp")
        return net.add(x, y, f"{name}.add2")
    x = net.layernorm(
        net.add(x, attention(net, x, cfg, f"{name}.attn"), f"{name}.add1"), f"{name}.norm1"
    )
    return net.layernorm(
        net.add(x, mlp(net, x, cfg, f"{name}.mlp"), f"{name}.add2"), f"{name}.norm2"
    )


def embed_image(net: Net, image: str, cfg: VitConfig) -> str:
    """Patch embedding, class token where the pooling wants one, position embedding."""
    p, e = cfg.patch, cfg.width
    if cfg.stem:
        image = net.unary(net.conv(image, 8, "stem.0", 3, 2, 1), "relu", "stem.0.act")
        image = net.unary(net.conv(image, 8, "stem.1", 3, 1, 1, group=8), "relu", "stem.1.act")
        p //= 2
    h, w, channels = net.b.values[image].type.shape
    ho, wo = h // p, w // p
    if cfg.stem:
        x = net.conv(image, e, "stem.2", 3, 2, 1)
    else:
        kernel = net.weights("patch.weight", p, p, channels, e, scale=1.0 / np.sqrt(3 * p * p))
        inputs: list[str | None] = [image, kernel]
        if cfg.bias:
            inputs.append(net.weights("patch.bias", e, scale=0.1))
        x = net.emit(
            "conv2d", "patch", inputs, (ho, wo, e), strides=(p, p), pads=(0, 0, 0, 0), group=1
        )
    x = net.emit("reshape", "patch.tokens", [x], (ho * wo, e))
    if cfg.pool == "token":
        token = net.weights("cls_token", 1, e, scale=0.5)
        x = net.emit("concat", "cat", [token, x], (ho * wo + 1, e), axis=0)
    position = net.weights("pos_embed", net.rows(x), e, scale=0.3)
    return net.add(x, position, "pos")


def head(net: Net, x: str, cfg: VitConfig) -> str:
    if cfg.pre_norm:
        x = net.layernorm(x, "norm")
    if cfg.pool == "token":
        x = net.first_row(x, "cls")
    if cfg.pool == "mean":
        x = net.emit("mean", "pool", [x], (1, cfg.width))
    return net.linear(x, cfg.classes, "head", cfg.bias)


def vit(cfg: VitConfig) -> Graph:
    """An image model; its ONNX input would be NCHW."""
    net = Net("vit", cfg.seed)
    net.image("image", *cfg.image, 3)
    x = embed_image(net, "image", cfg)
    for i in range(cfg.blocks):
        x = block(net, x, cfg, f"blocks.{i}")
    y = head(net, x, cfg)
    meta = {
        "input_layouts": ("NCHW",),
        "input_shapes": ((1, 3, *cfg.image),),
        "output_shapes": ((1, *net.b.values[y].type.shape),),
    }
    return run_float_passes(net.b.done(["image"], [y], meta))


def sequence_model(cfg: VitConfig, tokens: int) -> Graph:
    """A TransformerEncoder over given tokens; post-norm with cfg.pre_norm False."""
    net = Net("encoder", cfg.seed)
    net.tokens("x", tokens, cfg.width)
    x = "x"
    for i in range(cfg.blocks):
        x = block(net, x, cfg, f"layers.{i}")
    y = head(net, x, cfg)
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, tokens, cfg.width),),
        "output_shapes": ((1, *net.b.values[y].type.shape),),
    }
    return run_float_passes(net.b.done(["x"], [y], meta))


def two_input_model(cfg: VitConfig, length: int) -> Graph:
    """An image and a text: two decoders' worth of mixing, by joining, by cross attention, by a sum.

    Two outputs: what is said of the text's rows, and of the image.
    """
    net = Net("pair", cfg.seed)
    net.image("image", *cfg.image, 3)
    net.tokens("text", length, cfg.width)
    x = embed_image(net, "image", cfg)
    rows = net.rows(x) + length
    both = net.emit("concat", "both", [x, "text"], (rows, cfg.width), axis=0)
    both = block(net, both, cfg, "blocks.0")
    d = cfg.head_dim or cfg.width // cfg.heads
    inner = d * cfg.heads
    q = net.linear("text", inner, "cross.q")
    k, v = (net.linear(both, inner, f"cross.{c}") for c in "kv")
    inputs: list[str | None] = [q, k, v]
    o = net.emit("attention", "cross.sdpa", inputs, (length, inner), heads=cfg.heads, scale=d**-0.5)
    text = net.add("text", net.linear(o, cfg.width, "cross.proj"), "cross.add")
    pooled = net.emit("mean", "pool", [both], (1, cfg.width))
    outputs = [net.layernorm(text, "text.norm"), net.linear(pooled, cfg.classes, "head")]
    shapes = [(1, *net.b.values[y].type.shape) for y in outputs]
    meta = {
        "input_layouts": ("NCHW", "tokens"),
        "input_shapes": ((1, 3, *cfg.image), (1, length, cfg.width)),
        "output_shapes": tuple(shapes),
    }
    return run_float_passes(net.b.done(["image", "text"], outputs, meta))


def with_outputs(graph: Graph, seed: int, most: int = 4) -> Graph:
    """The same network with more outputs, drawn from its rows of tokens: activations that others
    read, views, and inputs passed through."""
    rng = np.random.default_rng(seed)
    able = [op.outputs[0] for op in graph.ops] + list(graph.inputs)
    able = [name for name in able if len(graph.type(name).shape) == 2]
    names = [able[i] for i in rng.choice(len(able), min(len(able), int(rng.integers(1, most + 1))))]
    outputs = [*graph.outputs, *names]
    rng.shuffle(outputs)
    shapes = tuple((1, *graph.type(name).shape) for name in outputs)
    return graph.replace(outputs=tuple(outputs), meta={**graph.meta, "output_shapes": shapes})


def images(cfg: VitConfig, count: int, seed: int = 1) -> NDArray[np.float32]:
    """Smooth random images in ONNX layout [N,3,H,W], about -2.5..2.5."""
    rng = np.random.default_rng(seed)
    h, w = cfg.image
    coarse = rng.normal(size=(count, 3, (h + 3) // 4 + 1, (w + 3) // 4 + 1))
    fine = np.repeat(np.repeat(coarse, 4, axis=2), 4, axis=3)[:, :, :h, :w]
    return (fine + 0.2 * rng.normal(size=fine.shape)).clip(-2.5, 2.5).astype(np.float32)


def tokens(cfg: VitConfig, count: int, length: int, seed: int = 1) -> NDArray[np.float32]:
    """Random token inputs [N,T,C]."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, length, cfg.width)).astype(np.float32)
