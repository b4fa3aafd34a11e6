"""Names of nodes and values may be any bytes: plain in the graph, printable in messages."""

from __future__ import annotations

from pathlib import Path

import build
import pytest
from onnx import helper
from test_hostile_models import refused

ODD_NAMES = [
    '"quoted"',
    "new\nline",
    "*/ evil(); /*",
    "%s%n%d",
    "日本語 ünï",
    "x" * 10_000,
    "a\\b",
    "\x1b[31m",
    " ",
]


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_odd_names_become_plain(tmp_path: Path, odd: str) -> None:
    """Only letters, digits, "_" and "." come out, short and unique."""
    weights = {f"{odd}.w": build.rand(6, 6), "b": build.rand(6)}
    nodes = [
        helper.make_node("MatMul", ["x", f"{odd}.w"], [f"{odd}1"], name=odd),
        helper.make_node("Add", [f"{odd}1", "b"], [f"{odd}2"], name=odd),
        helper.make_node("Relu", [f"{odd}2"], ["y"], name=odd),
    ]
    graph = build.load(tmp_path, build.model(nodes, weights))
    assert [op.kind for op in graph.ops] == ["linear", "unary"]
    plain = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")
    for name in graph.values:
        assert 0 < len(name) < 120 and set(name) <= plain
    for op in graph.ops:
        assert op.origin and all(
            len(o) <= 200 and o.isascii() and o.isprintable() for o in op.origin
        )
        assert all("*/" not in o and '"' not in o and "\\" not in o for o in op.origin)


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_odd_names_in_messages(tmp_path: Path, odd: str) -> None:
    message = refused(tmp_path, build.model([helper.make_node("Det", ["x"], ["y"], name=odd)]))
    assert len(message) < 400 and message.replace("\n", "").isprintable()
