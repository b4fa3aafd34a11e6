"""Labels of calibration samples against the interpreter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from util_slimmable import Slimmable, slimmable_data, slimmable_files

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import plan_model
from mcuformer.operators.interpreter import run_int
from mcuformer.proof.labelled import labelled_percent


def test_the_share_that_is_right(tmp_path: Path) -> None:
    (file,) = slimmable_files(tmp_path, Slimmable(width=16), (1,))
    data = slimmable_data(tmp_path / "data.npz")
    made = plan_model(
        CompileOptions(model=file, board="host", calibration=data), lambda *_: None, True
    )
    graph, evidence = made.graph, made.evidence
    x = np.load(data)["x"].transpose(0, 2, 3, 1)
    classes = run_int(graph, (x,))[graph.outputs[0]].reshape(len(x), -1).argmax(axis=1)
    assert labelled_percent(graph, replace(evidence, labels=classes), 1) == 100.0
    wrong = (classes + (np.arange(len(x)) % 4 == 0)) % 5
    assert labelled_percent(graph, replace(evidence, labels=wrong), 1) == pytest.approx(75.0)
    few = labelled_percent(graph, replace(evidence, labels=classes), 10**12)
    assert few == 100.0
    for labels in (None, classes + 9, classes - 9):
        assert labelled_percent(graph, replace(evidence, labels=labels), 1) is None
