"""The list of coverage.py, its table, and a model that takes too long or brings its process down."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
sys.path.append(str(BENCH))  # last: coverage.py there is not the package of that name

pytest.importorskip("onnxruntime")

import coverage_follow
import coverage_sqnr
import numpy as np
import onnx
from coverage_follow import Row, followed
from coverage_list import models, versions
from coverage_table import page, rows_of, summary
from onnx import TensorProto, helper

START = Row("timm", "vit", "vit_gap", "dynamo")


def test_list_is_long_and_names_are_unique() -> None:
    listed = models()
    assert len(listed) >= 120
    assert not [name for name, n in Counter(m.name for m in listed).items() if n > 1]
    assert set(versions()) >= {"torch", "timm", "torchvision", "transformers"}


def test_page_says_result_bits_and_words_of_every_model() -> None:
    ok = Row(
        "timm", "vit", "vit", "dynamo", "ok", "", "host", 2048, 7, "equal", "equal", 21.5, 20.0,
        commit="1234567",
    )  # fmt: skip
    refused = Row("timm", "swin", "swinv2", "dynamo", "exit 3", "ReduceL2 'x':\n no norm")
    text = page([ok, refused], "command", "2026-01-01", {"torch": "2"})
    assert (
        "| timm | vit | vit | dynamo | ok | equal | equal | 21.5 | 20.0 | 2 | host | 1234567 |"
        in text
    )
    assert "- swinv2 (dynamo), exit 3: ReduceL2 'x': no norm" in text
    assert "dynamo: 2 models; 1 ok, 1 exit 3; 1 with all bits equal" in "\n".join(
        summary([ok, refused])
    )
    assert "of commit 1234567: 1 rows; in Unicorn 1 of 1 with all bits equal" in text
    assert "median +1.5 dB" in text


def test_rows_that_were_not_measured_again_come_from_the_page() -> None:
    ok = Row("timm", "vit", "vit", "dynamo", "ok", "", "host", 2048, None, "equal", "", 21.5, None)
    old = Row("timm", "swin", "swinv2", "dynamo", "exit 3", "Foo 'x' (a): b", commit="1234567")
    assert rows_of(page([ok, old], "command", "2026-01-01", {})) == [ok, old]


def test_numbers_of_onnxruntime_are_kept_with_the_file(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "relu", ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    path, kept = tmp_path / "m.onnx", tmp_path / "m.npz"
    onnx.save(model, path)
    calibration, x = coverage_sqnr.samples((4,))
    first = coverage_sqnr.reference(path, calibration, x, kept)
    np.testing.assert_array_equal(first.exact[0][:, 0], np.maximum(x, 0))
    written = kept.stat().st_mtime_ns
    again = coverage_sqnr.reference(path, calibration, x, kept)
    assert kept.stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.exact[0], first.exact[0])
    assert (again.quantised is None) == (first.quantised is None)
    model.graph.node[0].op_type = "Neg"
    onnx.save(model, path)
    other = coverage_sqnr.reference(path, calibration, x, kept)
    np.testing.assert_array_equal(other.exact[0][:, 0], -x)


@pytest.mark.parametrize(
    ("work", "result"), [("import os; os._exit(3)", "died"), ("while True: pass", "timeout")]
)
def test_a_crash_and_a_hang_are_rows(
    work: str, result: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage_follow, "_follow", lambda *_: exec(work))
    found = followed(START, Path("x.onnx"), (3, 8, 8), tmp_path / "x.json", (), 1.0)
    assert found.result == result
    assert Row.read(tmp_path / "x.json") == found


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    found = followed(START, tmp_path / "x.onnx", (3, 8, 8), tmp_path / "x.json", (), 60.0)
    assert found.result in ("exit 2", "exit 3") and found.message
