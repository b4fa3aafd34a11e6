"""What near heads save in a random ViT of 12 x 12 patches: `python tests/bench/near_attention.py [RADIUS]`.

Three networks of one shape: all heads see all, all see near patches, and one head per layer sees all. For
every --optimize, estimated instructions of the network and of its attentions, bytes of K and V, SRAM.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from mcuformer.cli.console import count, table
from mcuformer.compile.localised import Localisation, LocalLayer
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import analyze_model
from mcuformer.search.arch import Arch
from mcuformer.search.net import Network, initialise

DEPTH, HEADS, SIDE = 6, 3, 12


def write_model(path: Path) -> None:
    arch = Arch(
        image=(48, 48, 3), classes=10, stem="patch", patch=4, pool="mean", relative=False,
        dim=96, heads=HEADS, head_dim=32, hidden=(192,) * DEPTH,
    )  # fmt: skip
    network = Network(arch)
    initialise(network, torch.Generator().manual_seed(0))
    x = torch.zeros(1, 3, 48, 48)
    torch.onnx.export(network.eval(), (x,), str(path), dynamo=False, opset_version=17)


def with_radii(options: CompileOptions, radii: tuple[int, ...]) -> CompileOptions:
    names = [f"blocks.{i}.attn.attention" for i in range(DEPTH)]
    layers = tuple(LocalLayer(n, (SIDE, SIDE), radii, (0.0,) * HEADS) for n in names)
    chosen = Localisation("2", 100.0, "variance", 16, 0.0, (), layers)
    return replace(options, localisation=chosen)


def rows(model: Path, radius: int) -> list[list[str]]:
    found = []
    plain = CompileOptions(model=model, board="stm32f746", check=False)
    for radii in ((0,) * HEADS, (radius,) * HEADS, (*(radius,) * (HEADS - 1), 0)):
        for optimize in ("balanced", "ram"):
            options = with_radii(replace(plain, optimize=optimize), radii)  # type: ignore[arg-type]
            report = analyze_model(options, lambda *_: None).report
            (near,) = report["localisation"]
            layers = near["layers"]
            found.append(
                [
                    " ".join(str(r or "-") for r in radii),
                    optimize,
                    count(report["estimate"]["instructions"]),
                    count(sum(n["instructions"] for n in layers)),
                    f"{sum(n['instructions'] for n in layers) / sum(n['instructions_whole'] for n in layers):.2f}",
                    count(max(n["kv_bytes"] for n in layers)),
                    count(report["memory"]["arena_bytes"]),
                    layers[0]["schedule"],
                ]
            )
    return found


def main() -> int:
    radius = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "random.onnx"
        write_model(model)
        header = [
            "radii",
            "optimize",
            "instructions",
            "attention",
            "of all keys",
            "K and V B",
            "arena B",
            "way",
        ]
        print(table(header, rows(model, radius)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
