"""`mcuformer attention` on a trained model: float and integer figures, the page, bad input."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from mcuformer.cli import invoke
from mcuformer.locality.page import page, shade

EXAMPLES = Path(__file__).parents[2] / "examples"
MODEL = str(EXAMPLES / "fashion_vit.onnx")
DATA = str(EXAMPLES / "fashion_calibration.npz")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str, str]:
    """The JSON document, the page and the console's table of one run."""
    report = tmp_path_factory.mktemp("attention") / "out.html"
    words = ["attention", MODEL, "--data", DATA, "--limit", "12", "--image", "3"]
    file = report.with_suffix(".json")
    with redirect_stdout(StringIO()) as console:
        assert invoke([*words, "--report", str(file)]) == 0
    document = json.loads(file.read_text(encoding="utf-8"))
    return document, page(document), console.getvalue()


def test_every_head_has_its_figures_twice(printed: tuple[dict, str, str]) -> None:
    document = printed[0]
    assert document["samples"] == 12 and document["layers"]
    for layer in document["layers"]:
        assert layer["why"] is None
        assert len(layer["heads"]) == len(layer["int_heads"]) == len(layer["maps"])
        for ours, ints in zip(layer["heads"], layer["int_heads"], strict=True):
            assert 0 < ours["distance"] < 1 and 0 < ours["entropy"] <= 1
            assert ours["mass"][-1] == pytest.approx(1, abs=1e-3)
            assert ints["distance"] == pytest.approx(ours["distance"], abs=0.03)


def test_the_page_shows_heads_by_layer(printed: tuple[dict, str, str]) -> None:
    document, text, _ = printed
    heads = sum(len(layer["heads"]) for layer in document["layers"])
    assert text.count("<td style=") == 2 * heads and text.count("<svg") == heads
    assert "<script" not in text
    assert shade(0) != shade(1)


def test_the_table(printed: tuple[dict, str, str]) -> None:
    out = printed[2]
    assert "12 of" in out and "within 1" in out and "heads: distance" in out


def test_an_image_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["attention", MODEL, "--data", DATA, "--image", "100000"]) == 2
    assert "--image 100000" in capsys.readouterr().err
