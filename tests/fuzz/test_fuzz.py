"""The fuzzer at work: a few draws in the ordinary tests, 300 in the long ones, and its own parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from fuzz.choices import Choices
from fuzz.counts import ENOUGH, Counts, drawn_names
from fuzz.draws import draw
from fuzz.follow import Level, Outcome, follow
from fuzz.graph import Draw
from fuzz.layers import linear
from fuzz.machine import Machine
from fuzz.modes import Modes
from fuzz.planted import FAULTS, found_by
from fuzz.raw import draw_raw
from fuzz.raw_follow import onnx_differs
from fuzz.run import GRAPHS, RAW, Kind, explained, one
from fuzz.script import script
from fuzz.shrink import shrunk
from fuzz.variants import draw_family, follow_family
from mcuformer.quant import lower_linear

SEED = 20261128
PIECE = 25


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    yield Machine()


def assert_right(index: int, machine: Machine, level: Level = "host", kind: Kind = GRAPHS) -> None:
    drawn, outcome = one(SEED, index, level, machine, kind)
    if outcome.result == "failed":
        pytest.fail(explained(SEED, index, drawn, outcome, level, machine, kind))


@pytest.mark.parametrize("index", range(20))
def test_draws(machine: Machine, index: int) -> None:
    assert_right(index, machine)


@pytest.mark.parametrize("index", [2, 7])
def test_families(machine: Machine, index: int) -> None:
    """Widths of 4-bit weights; tasks of 16-bit activations."""
    family = draw_family(Choices.fresh(SEED, index))
    if family.kind == "task":
        pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
    assert follow_family(family, "host", machine) == ""


@pytest.mark.long
def test_more_families(machine: Machine) -> None:
    pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
    for index in range(100, 130):
        family = draw_family(Choices.fresh(SEED, index))
        assert follow_family(family, "host" if index % 5 else "all", machine) == "", family


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 400, PIECE))
def test_more_draws(machine: Machine, first: int) -> None:
    for index in range(first, first + PIECE):
        assert_right(index, machine)


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_raw_nodes_are_right_or_named(machine: Machine, first: int) -> None:
    """As the file's numbers, or refused by the name of a node: floats; six of a hundred as C."""
    for index in range(first, first + 100):
        assert_right(index, machine, "host" if index % 17 == 0 else "import", RAW)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 1200, PIECE))
def test_more_raw_nodes(machine: Machine, first: int) -> None:
    for index in range(first, first + PIECE):
        assert_right(index, machine, "host", RAW)


def test_what_onnx_itself_computes_otherwise() -> None:
    """Nothing else hides a mismatch because a reference is doubted."""
    corners = {"coordinate_transformation_mode": "align_corners"}
    wanted = {
        ("Softmax", 12): {}, ("LogSoftmax", 11): {"axis": 2}, ("Resize", 19): corners,
    }  # fmt: skip
    for (kind, opset), attrs in wanted.items():
        assert onnx_differs(onnx.helper.make_node(kind, ["x"], ["y"], **attrs), opset)
    for kind, opset, attrs in (
        ("Softmax", 13, {}),
        ("Softmax", 12, {"axis": -1}),
        ("Resize", 19, {}),
    ):
        assert not onnx_differs(onnx.helper.make_node(kind, ["x"], ["y"], **attrs), opset)


def test_a_raw_draw_is_its_seed_and_its_blocks() -> None:
    for index in range(20):
        drawn = draw_raw(Choices.fresh(3, index))
        assert draw_raw(Choices(None, drawn.blocks)).model == drawn.model


def test_a_draw_is_its_seed_and_its_blocks() -> None:
    for index in range(20):
        drawn = draw(Choices.fresh(3, index))
        for other in (Choices.fresh(3, index), Choices(None, drawn.blocks)):
            again = draw(other)
            assert again.model == drawn.model and again.modes == drawn.modes
            assert all(np.array_equal(again.samples[n], x) for n, x in drawn.samples.items())


def test_the_simplest_draw() -> None:
    drawn = draw(Choices(None))
    assert [n.op_type for n in drawn.model.graph.node] == ["MatMul"]
    assert drawn.modes == Modes()


@pytest.mark.long
def test_a_failing_draw_is_shrunk_and_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that rounds weights to 3 bits: found by values, shrunk to few nodes, a script."""
    right = lower_linear._integers

    def wrong(*args: object) -> object:
        found = right(*args)  # type: ignore[arg-type]
        return replace(found, w=np.rint(found.w / 32) * 32)

    monkeypatch.setattr(lower_linear, "_integers", wrong)
    machine = Machine()
    for index in range(20):
        drawn, outcome = one(7, index, "plan", machine)
        if outcome.result == "failed" and len(drawn.model.graph.node) > 6:
            break
    assert outcome.stage == "values"
    small, last = shrunk(drawn, outcome, lambda d: follow(d, "plan", machine), draw)
    assert last.way == outcome.way
    assert len(small.model.graph.node) <= 4
    names: dict[str, object] = {}
    text = script(small, "three bits", "plan")
    with pytest.raises(SystemExit, match="True"):
        exec(compile(text, "drawn.py", "exec"), names)


def test_refusals_need_a_name(machine: Machine) -> None:
    d = Draw(Choices(None))
    d.choices.block()
    d.inputs, d.shapes = ["x0"], {"x0": (1, 2, 3)}
    y = d.node("Round", [linear(d, "x0", 4)], (1, 2, 4))
    model = d.model([y])
    drawn = replace(draw(Choices(None)), model=model)
    data = {"x0": np.random.default_rng(0).normal(size=(24, 2, 3)).astype(np.float32)}
    outcome = follow(replace(drawn, calibration=data, samples=data), "plan", machine)
    assert (outcome.result, "Round" in outcome.message) == ("refused", True)


def test_counts_complain() -> None:
    counts, drawn = Counts(), draw(Choices(None))
    outcome = Outcome(operators={n.op_type for n in drawn.model.graph.node})
    for _ in range(ENOUGH):
        counts.add(drawn, outcome)
    said = list(counts.complaints())
    assert "Conv: only 0 draws" in said and "q_linear: only 0 draws" in said
    assert not any(line.startswith("MatMul") for line in said)
    assert set(drawn_names()) <= set(counts.onnx)


@pytest.mark.parametrize(
    "name",
    [
        "padding with 0 instead of the zero point",
        pytest.param("saturation at -127", marks=pytest.mark.long),
    ],
)
def test_planted_faults_are_found(machine: Machine, name: str, tmp_path: Path) -> None:
    """One of the C and one of the compiler; `make fuzz PLANTED=1` finds all."""
    fault = next(f for f in FAULTS if f.name == name)
    drawn = (draw(Choices.fresh(1, index)) for index in range(200))
    assert any(found_by(fault, d, machine) for d in drawn)
