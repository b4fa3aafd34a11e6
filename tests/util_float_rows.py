"""Cases of every float operator: (kind, attributes, *shapes of the operands)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 3  # in front of every activation, and of nothing else
IMAGE = {"strides": (2, 1), "pads": (1, 0, 2, 1)}
POOL = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0)}

CASES = [
    ("conv2d", {**IMAGE, "group": 1}, (3, 6, 5, 4), (2, 2, 4, 6), (6,)),
    ("conv2d", {**IMAGE, "group": 4, "fn": "gelu"}, (3, 6, 5, 4), (2, 2, 1, 8), None),
    ("patch_embed", {"strides": (2, 3), "pads": (0,) * 4, "fn": None}, (3, 4, 6, 2), (2, 3, 2, 5), (5,), (4, 5)),
    ("linear", {}, (3, 4, 6), (6, 5), (5,)),
    ("linear", {"fn": "relu"}, (3, 4, 6), (6, 5), None, (3, 4, 5)),
    ("layernorm", {"eps": 1e-3, "groups": 1}, (3, 4, 6), (6,), (6,)),
    ("layernorm", {"eps": 1e-3, "groups": 3}, (3, 4, 6), None, (6,)),
    ("layernorm", {"eps": 1e-3, "groups": 3, "centred": False}, (3, 4, 6), (6,), (6,)),
    ("groupnorm", {"eps": 1e-3, "groups": 1}, (3, 4, 6), (6,), (6,)),
    ("groupnorm", {"eps": 1e-3, "groups": 3, "centred": False}, (3, 4, 6)),
    ("rms", {"eps": 1e-3, "groups": 3}, (3, 4, 6)),
    ("rms", {"eps": 0.0, "groups": 6, "centred": False}, (3, 4, 6)),
    ("power", {"exponent": -1.0}, (3, 4, 6)),
    ("power", {"exponent": 0.5}, (3, 4, 6)),
    ("unary", {"fn": "clip(-0.5, 0.25)"}, (3, 4, 6)),
    ("add", {}, (3, 4, 6), (3, 1, 6)),
    ("add", {}, (3, 4, 6), (4, 6)),
    ("mul", {}, (3, 4, 1), (3, 4, 6)),
    ("max", {}, (3, 4, 6), (3, 4, 6)),
    ("max", {}, (3, 4, 1), (3, 4, 6)),
    ("attention", {"heads": 2, "scale": 0.4}, (3, 4, 6), (3, 5, 6), (3, 5, 8)),
    ("attention", {"heads": 2, "scale": 0.4}, (3, 4, 6), (3, 5, 6), (3, 5, 8), (1, 4, 5)),
    ("attention", {"heads": 2, "scale": 0.4, "windows": 2}, (3, 4, 6), (3, 6, 6), (3, 6, 8), (2, 2, 3)),
    ("attention", {"heads": 2, "scale": 0.4, "windows": 2}, (3, 4, 6), (3, 6, 6), (3, 6, 8), (4, 2, 3)),
    ("attention", {"heads": 2, "scale": 0.4}, (1, 6), (3, 5, 6), (3, 5, 8)),
    ("matmul", {"a": "m.hk", "b": "n.hk", "y": "m.hn", "sizes": (1, 2, 4, 5, 3), "scale": 0.5}, (3, 4, 6), (3, 5, 6)),
    ("matmul", {"a": "k.gm", "b": "k.n", "y": "gm.n", "sizes": (2, 1, 4, 5, 6), "scale": 1.0}, (3, 6, 8), (6, 5)),
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
    ("resize", {"rows": (-1, 0, 1, 2, 3), "columns": (0, 2)}, (3, 4, 4, 6), (5, 2), (2, 3)),
]  # fmt: skip


def arrays(shapes: tuple[tuple[int, ...] | None, ...]) -> list[NDArray[np.float32] | None]:
    rng = np.random.default_rng(0)
    return [None if s is None else rng.normal(size=s).astype(np.float32) for s in shapes]


def single(shape: tuple[int, ...] | None) -> Any:
    """Without the batch axis, if it has one."""
    return shape[1:] if shape is not None and shape[0] == BATCH else shape
