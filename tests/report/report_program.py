"""A small network with costs, built without the memory tests' helpers."""

from __future__ import annotations

from mcuformer.ir.graph import Graph
from mcuformer.program.buffers import Buffer, Span
from mcuformer.program.calls import Call, Loop, Step
from mcuformer.program.expressions import var
from mcuformer.program.program import IoTensor, Layer, Program

WIDTH, TOKENS, TILE, BLOCKS = 32, 50, 16, 3


def tile(name: str, width: int = WIDTH, moving: bool = True) -> Span:
    start = var("t") * width if moving else var("t") * 0
    return Span(name, start, width, width, var("t_n"))


def block(b: int, layers: list[Layer], buffers: dict[str, Buffer]) -> Step:
    names = [f"blocks.{b}.norm", f"blocks.{b}.fc1", f"blocks.{b}.fc2"]
    ids = []
    for name, op in zip(names, ("q_layernorm", "q_linear", "q_linear"), strict=True):
        ids.append(len(layers))
        layers.append(
            Layer(ids[-1], name, op, (f"/{name}",), (TOKENS, WIDTH), 51_200, 4096, "tiles of 16")
        )
    for stem, size, kind in (
        ("n", TILE * WIDTH, "activation"),
        ("h", TILE * 128, "activation"),
        ("panel", 512, "scratch"),
    ):
        buffers[f"b{b}.{stem}"] = Buffer(f"b{b}.{stem}", size, 8, kind)  # type: ignore[arg-type]
    n, h = tile(f"b{b}.n", moving=False), tile(f"b{b}.h", 128, moving=False)
    panel = Span.whole(buffers[f"b{b}.panel"])
    return Loop(
        "t",
        TOKENS,
        TILE,
        (
            Call("mcf_layernorm", ids[0], None, (), (tile("x"),), (n,), (), None, 100, 20),
            Call("mcf_linear", ids[1], None, (), (n,), (h,), (panel,), None, 1000, 200, 4096),
            Call(
                "mcf_linear",
                ids[2],
                None,
                (),
                (h, tile("x")),
                (tile("x"),),
                (),
                None,
                900,
                None,
                4096,
                True,
            ),
        ),
    )


def build() -> Program:
    layers = [
        Layer(0, "embed", "q_patch_embed", ("/conv",), (TOKENS, WIDTH), 76_800, 1536, "whole"),
        Layer(1, "view", "reshape", (), (TOKENS, WIDTH), 0, 0, "a view"),
    ]
    buffers = {"x": Buffer("x", TOKENS * WIDTH), "out": Buffer("out", 10, 8, "output")}
    whole = Span.whole(buffers["x"])
    steps: list[Step] = [Call("mcf_linear", 0, None, (), (), (whole,), (), None, 5000)]
    steps += [block(b, layers, buffers) for b in range(BLOCKS)]
    layers.append(Layer(len(layers), "head", "q_linear", ("/head",), (1, 10), 320, 320, "whole"))
    out = Span.whole(buffers["out"])
    steps.append(
        Call("mcf_linear", layers[-1].id, None, (), (whole,), (out,), (), None, 50, None, 320)
    )
    graph = Graph("net", "int", (), (), (), {})
    pulled, output = IoTensor("x", None, 0, 1, 1), IoTensor("out", "out", 0, 1, 10)
    return Program(
        "net",
        "bands",
        buffers,
        tuple(steps),
        tuple(layers),
        graph,
        {},
        (),
        (),
        (pulled,),
        (output,),
    )


PROGRAM = build()
