"""Batch is bound to 1, other open axes by the user; anything else is an error with a hint."""

from __future__ import annotations

from pathlib import Path

import build
import pytest

from mcuformer.errors import UnsupportedModelError, UsageError


def layout(
    tmp_path: Path, dims: list[int | str | None], **shapes: tuple[int, ...]
) -> tuple[str, tuple]:
    graph = build.load(tmp_path, build.model([build.node("Relu", "x", "y")], x=dims), **shapes)
    return graph.meta["input_layouts"][0], graph.meta["input_shapes"][0]


@pytest.mark.parametrize(
    ("dims", "want"),
    [
        (["batch", 3, 4, 4], ("NCHW", (1, 3, 4, 4))),
        ([None, 3, 4, 4], ("NCHW", (1, 3, 4, 4))),
        (["batch_size", 9, 6], ("tokens", (1, 9, 6))),
        ([9, "N", 6], ("tokens", (9, 1, 6))),
        ([1, 7], ("flat", (1, 7))),
        ([7], ("flat", (7,))),
    ],
)
def test_batch(tmp_path: Path, dims: list, want: tuple) -> None:
    assert layout(tmp_path, dims) == want


@pytest.mark.parametrize("unknown", [-1, "?"])
def test_what_others_write_for_unknown(tmp_path: Path, unknown: int | str) -> None:
    """PaddlePaddle repeats them: they are no name that would bind one axis to another."""
    dims: list[int | str | None] = [unknown, 3, unknown, unknown]
    assert layout(tmp_path, dims, x=(1, 3, 5, 7)) == ("NCHW", (1, 3, 5, 7))
    with pytest.raises(UsageError, match=r"axis 2 \(unnamed\), axis 3 \(unnamed\)") as caught:
        layout(tmp_path, dims)
    assert "--input-shape x=1,3,N,N" in str(caught.value)


def test_other_axes_by_the_user(tmp_path: Path) -> None:
    assert layout(tmp_path, ["batch", "time", 6], x=(1, 5, 6)) == ("tokens", (1, 5, 6))


@pytest.mark.parametrize("dims", [["batch", "time", 6], [1, None, 6], ["p", "q", "r"]])
def test_unbound_axis_asks_for_input_shape(tmp_path: Path, dims: list) -> None:
    with pytest.raises(UsageError) as caught:
        layout(tmp_path, dims)
    assert caught.value.exit_code == 2 and "--input-shape x=1," in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 5), (1, 5, 7), (1, 0, 6), (1, -5, 6), (1, 5, 6, 1)])
def test_shapes_that_do_not_fit(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="cannot take shape"):
        layout(tmp_path, ["batch", "time", 6], x=shape)


def test_unknown_input_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it has 'x'"):
        layout(tmp_path, [1, 6], pixels=(1, 6))


@pytest.mark.parametrize("dims", [[8, 3, 4, 4], [2, 9, 6], [4, 6], [1, 2, 3, 4, 5]])
def test_fixed_batch_above_one(tmp_path: Path, dims: list[int]) -> None:
    with pytest.raises(UnsupportedModelError, match="batch 1"):
        layout(tmp_path, dims)


def test_input_without_any_shape(tmp_path: Path) -> None:
    proto = build.model([build.node("Relu", "x", "y")])
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UsageError, match="no shape"):
        build.load(tmp_path, proto)
    assert build.load(tmp_path, proto, x=(1, 4, 6)).meta["input_shapes"][0] == (1, 4, 6)


def test_integer_input(tmp_path: Path) -> None:
    proto = build.model([build.node("Cast", "x", "y", to=1)])
    proto.graph.input[0].type.tensor_type.elem_type = 2  # uint8
    with pytest.raises(UnsupportedModelError, match="uint8"):
        build.load(tmp_path, proto)
