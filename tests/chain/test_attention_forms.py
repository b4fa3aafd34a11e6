"""Attention that is not the plain one, from the ONNX file to the emulators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db
from util_attention_forms import FORMS, WEIGHTS, E, T, load, model

from mcuformer import quant
from mcuformer.passes import run_float_passes

CHOSEN = (
    "softmax over heads", "a temperature and a bias", "talking heads, MatMul", "talking heads, Conv",
    "a gate between two attentions", "a computed bias", "linear attention", "channel attention",
    "constant keys and values", "a mask of mixed scores", "a row that sees no key, which is 0",
    "probabilities under a mask", "rows that begin far from 0, one that hides less",
    "a row that sees no key, which all weighs alike",
)  # fmt: skip
EVERYWHERE = ("host", "unicorn", "qemu")


@pytest.mark.parametrize("name", CHOSEN)
def test_attention_forms(tmp_path: Path, name: str) -> None:
    nodes, weights, _ = FORMS[name]
    given = {n: w / 4 if n in ("wq", "wk") else w for n, w in (WEIGHTS | weights).items()}
    graph = run_float_passes(load(tmp_path, model(nodes, given)))
    samples = np.random.default_rng(1).normal(size=(40, T, E)).astype(np.float32)
    stats = quant.calibrate(graph, samples)
    lowered = quant.lower(graph, stats)
    assert stats.samples is not None
    signal = signal_db(graph, lowered, stats.samples[0].reshape(-1, T, E))
    print(f"{name}: {signal:.1f} dB")
    assert signal > 20
    emulators = EVERYWHERE if "mask" in name or "Conv" in name else EVERYWHERE[:1]
    follow(scheduled(lowered, "resident", "balanced"), tmp_path, emulators)
