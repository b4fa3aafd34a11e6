"""Feature pyramids on a Swin and a Twins from examples/: one output, a mask, that leaves by lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from chain import follow, scheduled

from mcuformer import quant
from mcuformer.frontend.load import load_model
from mcuformer.operators.line_outputs import by_lines

sys.path.append(str(Path(__file__).parents[2] / "examples" / "families"))
from pyramid import Segmenter
from swin import Shape as SwinShape
from swin import Swin
from twins import Shape as TwinsShape
from twins import Twins

SIZE, DIMS, CLASSES = 32, (8, 16), 3


def swin() -> Swin:
    return Swin(SwinShape(2, DIMS, (2, 1), (1, 2), (4, 4), ratio=2), SIZE)


def twins() -> Twins:
    return Twins(TwinsShape((2, 2), DIMS, (1, 1), (1, 2), (4, 1), ratio=2))


@pytest.mark.parametrize("backbone", [swin, twins])
def test_masks_by_lines(tmp_path: Path, backbone) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    net = Segmenter(backbone(), DIMS, 12, CLASSES, 2).eval()
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        net, (torch.zeros(1, 3, SIZE, SIZE),), path, opset_version=17, dynamo=False,
        input_names=["image"], output_names=["mask"],
    )  # fmt: skip
    graph = load_model(path)
    assert graph.meta["output_shapes"] == ((1, CLASSES, SIZE, SIZE),)
    lowered = by_lines(quant.lower(graph, quant.synthetic_stats(graph), "8"))
    made = scheduled(lowered, "bands", "ram")
    assert [t.buffer for t in made.program.outputs] == [None]
    follow(made, tmp_path, ("host", "unicorn"))
