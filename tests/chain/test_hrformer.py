"""HRFormer from examples/: the paper's numbers of parameters, and a small one through every link."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
from chain import follow, scheduled
from util_long import few

from mcuformer import quant
from mcuformer.frontend.load import load_model
from mcuformer.operators.outline import outline
from mcuformer.schedule.build import skeleton

sys.path.append(str(Path(__file__).parents[2] / "examples" / "families"))
import hrformer
from hrformer_heads import HEADS

SMALL = ("--size", "64x96", "--width", "8", "--stem", "8", "--modules", "1,1", "--blocks", "1")


def parameters(net) -> int:  # type: ignore[no-untyped-def]
    return sum(p.numel() for p in net.parameters())


def test_the_tiny_one_has_the_papers_parameters() -> None:
    net = hrformer.HRFormer(hrformer.Sizes(), "classes", 1000)
    assert parameters(net) - parameters(net.head) == 2_572_388
    assert parameters(net.head) == 5_458_696


@pytest.mark.parametrize(
    "task",
    few(sorted(HEADS), "keypoints"),
)
def test_small_ones_keep_their_bits(tmp_path: Path, task: str) -> None:
    """Windows that do not divide the image, four maps or classes."""
    path = tmp_path / "model.onnx"
    assert not hrformer.main(["--task", task, *SMALL, "--count", "4", "-o", str(path)])
    graph = load_model(path)
    made = scheduled(quant.lower(graph, quant.synthetic_stats(graph), "8"), "bands", "ram")
    follow(made, tmp_path, ("host",))


def test_the_stem_runs_once_for_two_branches(tmp_path: Path) -> None:
    """In strips, into the first branch and the second one: what both read never exists whole."""
    path = tmp_path / "model.onnx"
    assert not hrformer.main(["--task", "keypoints", *SMALL, "-o", str(path)])
    graph = load_model(path)
    shapes = outline(quant.lower(graph, quant.synthetic_stats(graph), "8"))
    regions = skeleton(shapes, "bands").regions
    assert [(r.target, r.also) for r in regions if r.also] == [("first.2", ("entries.0.2",))]
