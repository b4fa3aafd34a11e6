"""`compile --localize-attention`: who may be localised, what is chosen, and what the report says of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from util_models import VitConfig, vit

from mcuformer import quant
from mcuformer.cli import invoke
from mcuformer.compile.localised import Localisation, LocalLayer, report_of, with_radii
from mcuformer.ir.store import load_graph
from mcuformer.locality.localise import candidates, count, radii_of
from mcuformer.report.schema import LayerRow

EXAMPLES = Path(__file__).parents[2] / "examples"
MODEL, DATA = str(EXAMPLES / "fashion_vit.onnx"), EXAMPLES / "fashion_calibration.npz"


@pytest.mark.parametrize("pool", ["mean", "token"])
def test_candidates_are_attentions_of_patches(pool: str) -> None:
    """The last layer of a class-token model asks with one row; of another, all rows do."""
    found = list(candidates(vit(VitConfig((20, 16), pool=pool, blocks=2))))
    assert [n.grid for n in found] == [(5, 4)] * (2 if pool == "mean" else 1)
    assert all(n.radii == (0, 0) for n in found)


def test_what_sees_by_a_bias_is_none() -> None:
    assert not list(candidates(vit(VitConfig((20, 16), pool="mean", attention_bias=True))))


def test_radii_that_are_tried() -> None:
    layers = [LocalLayer("a", (12, 12), (0,), (0.0,)), LocalLayer("b", (4, 4), (0,), (0.0,))]
    assert radii_of(layers, None) == {"a": (1, 2, 3, 4), "b": (1,)}
    assert radii_of(layers, 3) == {"a": (3,), "b": (3,)}
    assert radii_of(layers, 5) == {"a": (5,), "b": ()}


def test_radii_are_put_on_the_graph() -> None:
    graph = vit(VitConfig((20, 16), pool="mean", blocks=1))
    (layer,) = candidates(graph)
    (op,) = (o for o in graph.ops if o.kind == "attention")
    chosen = LocalLayer(layer.name, layer.grid, (0, 2), (0.0, 0.1))
    (near,) = (o for o in with_radii(graph, [chosen]).ops if o.kind == "attention")
    assert near.attrs == {**op.attrs, "radii": (0, 2), "grid": (5, 4)}
    assert with_radii(graph, [layer]).ops == graph.ops
    assert count({"a": (0, 2), "b": (1, 0)}) == 2


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few of the example's, with labels that are all wrong but one."""
    file = tmp_path_factory.mktemp("localise") / "few.npz"
    (x,) = (a for a in np.load(DATA).values() if a.ndim > 2)
    np.savez(file, x=x[:8], y=np.zeros(8, np.int64))
    return file


@pytest.mark.parametrize("radius", ["2", "auto"])
def test_the_report_says_what_was_chosen(
    tmp_path: Path, samples: Path, radius: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a radius as many heads as the loss allows; all where anything is allowed."""
    words = ["compile", MODEL, "--board", "stm32f746", "--calibration", str(samples)]
    words += [
        "--emit-only",
        "--no-check",
        "-o",
        str(tmp_path / "out"),
        "--localize-attention",
        radius,
    ]
    assert invoke([*words, "--max-loss", "100%", "--report", str(tmp_path / "a.html")]) == 0
    out = capsys.readouterr().out
    assert "16 of 16 heads see patches within" in out and "points of top-1" in out
    (found,) = json.loads((tmp_path / "out/report.json").read_text())["localisation"]
    assert found["radius"] == radius and found["measure"] == "top-1" and found["samples"] == 8
    assert found["curve"][0] == {"heads": 0, "loss": 0.0}
    for layer in found["layers"]:
        assert all(layer["radii"]) and layer["kv_bytes"] <= layer["kv_bytes_whole"]
    graph = load_graph(tmp_path / "out/graph.npz")
    near = [op.attrs["radii"] for op in graph.ops if op.kind == "q_attention"]
    assert near == [tuple(layer["radii"]) for layer in found["layers"]]
    assert "Near attention" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("schedule", "kept"),
    [("ring, tiles of 4 and 4", 12), ("heads, tiles of 4 and 20", 10), ("kv", 20)],
)
def test_bytes_of_keys_that_a_schedule_keeps(schedule: str, kept: int) -> None:
    """Of 20 patches in lines of four, a ring keeps three lines; head by head it is one head of two."""
    graph = vit(VitConfig((20, 16), pool="mean", blocks=1))
    (layer,) = candidates(graph)
    chosen = LocalLayer(layer.name, layer.grid, (1, 1), (0.0, 0.0))
    made = quant.lower(
        with_radii(graph, [chosen]), quant.synthetic_stats(with_radii(graph, [chosen]))
    )
    row = LayerRow(
        id=0, name=layer.name, op="q_attention", onnx_nodes=(), shape=(20, 16), macs=0, weights_bytes=0,
        weight_bytes_read=0, live_bytes=0, scratch_bytes=0, schedule=schedule, estimated_instructions=9,
    )  # fmt: skip
    found = Localisation("1", 0.5, "top-1", 8, 0.0, (), (chosen,))
    ((one,),) = (r.layers for r in report_of(found, made, [row]))
    assert one.kv_bytes == 2 * 16 * kept and one.kv_bytes_whole == 2 * 16 * 20
    assert one.instructions == 9 < one.instructions_whole


def test_wrong_words_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compile", MODEL, "--board", "stm32f746", "-o", str(tmp_path / "out")]
    assert invoke([*words, "--localize-attention", "two"]) == 2
    assert "no radius in patches" in capsys.readouterr().err
    assert invoke([*words, "--localize-attention", "2"]) == 2
    assert "--calibration" in capsys.readouterr().err
