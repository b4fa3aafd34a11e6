"""Every float operator and every function in torch against the row that the compiler evaluates."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

import torch

from mcuformer.errors import McuformerError
from mcuformer.ir import functions
from mcuformer.ir.functions import FUNCTIONS, named
from mcuformer.ir.optable import FLOAT_OPS
from mcuformer.search.twins import TWINS, function, twin

NUMBERS = {"low": -0.7, "high": 1.3, "alpha": 0.3, "beta": 0.4}
IMAGE = {"strides": (2, 1), "pads": (1, 0, 2, 1)}
POOL = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0)}

# kind: (attributes, shapes of the operands), B = 3 in front of activations
CASES = [
    ("conv2d", {**IMAGE, "group": 1}, (3, 6, 5, 4), (3, 2, 4, 6), (6,)),
    ("conv2d", {**IMAGE, "group": 4, "fn": "gelu"}, (3, 6, 5, 4), (3, 2, 1, 8), None),
    ("patch_embed", {"strides": (2, 3), "pads": (0,) * 4, "fn": None}, (3, 4, 6, 2), (2, 3, 2, 5), (5,), (4, 5)),
    ("linear", {}, (3, 4, 6), (6, 5), (5,)),
    ("linear", {"fn": "relu"}, (3, 4, 6), (6, 5), None, (3, 4, 5)),
    ("layernorm", {"eps": 1e-3, "groups": 1}, (3, 4, 6), (6,), (6,)),
    ("layernorm", {"eps": 1e-3, "groups": 3}, (3, 4, 6), None, (6,)),
    ("unary", {"fn": "clip(-0.5, 0.25)"}, (3, 4, 6)),
    ("add", {}, (3, 4, 6), (3, 1, 6)),
    ("add", {}, (3, 4, 6), (4, 6)),
    ("mul", {}, (3, 4, 1), (3, 4, 6)),
    ("attention", {"heads": 2, "scale": 0.4}, (3, 4, 6), (3, 5, 6), (3, 5, 8)),
    ("attention", {"heads": 2, "scale": 0.4}, (3, 4, 6), (3, 5, 6), (3, 5, 8), (1, 4, 5)),
    ("attention", {"heads": 2, "scale": 0.4, "windows": 2}, (3, 4, 6), (3, 6, 6), (3, 6, 8), (2, 2, 3)),
    ("attention", {"heads": 2, "scale": 0.4, "windows": 2}, (3, 4, 6), (3, 6, 6), (3, 6, 8), (4, 2, 3)),
    ("attention", {"heads": 2, "scale": 0.4}, (1, 6), (3, 5, 6), (3, 5, 8)),
    ("concat", {"axis": 0}, (1, 6), (3, 4, 6)),
    ("concat", {"axis": 1}, (3, 4, 6), (3, 4, 2)),
    ("slice", {"axis": 0, "start": 1, "stop": 3}, (3, 4, 6)),
    ("slice", {"axis": 1, "start": 1, "stop": 3}, (3, 4, 6)),
    ("gather", {"indices": (2, 0, 0)}, (3, 4, 6)),
    ("reshape", {"shape": (8, 3)}, (3, 4, 6)),
    ("mean", {}, (3, 4, 6)),
    ("softmax", {}, (3, 4, 6)),
    ("requant", {}, (3, 4, 6)),
    ("argmax", {}, (3, 4, 6)),
    ("maxpool", POOL, (3, 4, 4, 6)),
    ("avgpool", POOL, (3, 4, 4, 6)),
]  # fmt: skip


def test_every_row_is_held_against_its_twin() -> None:
    assert {case[0] for case in CASES} == set(FLOAT_OPS) == set(TWINS)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_operator(case: tuple) -> None:
    kind, attrs, *shapes = case
    rng = np.random.default_rng(0)
    args = [None if s is None else rng.normal(size=s).astype(np.float32) for s in shapes]
    want = FLOAT_OPS[kind].evaluate(attrs, args)
    if TWINS[kind] is None:
        with pytest.raises(McuformerError, match=f"no training with rounding for {kind}"):
            twin(kind)
        return
    got = twin(kind)(attrs, [None if a is None else torch.tensor(a) for a in args])
    assert tuple(got.shape) == want.shape
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    row, x = FUNCTIONS[name], np.linspace(-9, 9, 721, dtype=np.float32)
    numbers = named(name, *(NUMBERS[n] for n in row.numbers))
    for fn in {numbers if row.numbers else name, name if row.plain else numbers}:
        if row.twin is None:
            with pytest.raises(McuformerError, match="no training with rounding for the function"):
                function(fn)
            continue
        got = function(fn)(torch.tensor(x)).numpy()
        np.testing.assert_allclose(got, functions.function(fn)(x), atol=3e-6, err_msg=fn)
