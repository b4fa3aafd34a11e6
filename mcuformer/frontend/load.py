"""`load_model`: an ONNX file -> the canonical float graph, through every step in order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import ModelProto

from mcuformer.frontend.bind import bind_inputs
from mcuformer.frontend.branches import inline_branches
from mcuformer.frontend.convert import convert
from mcuformer.frontend.import_graph import import_graph
from mcuformer.frontend.masks import check_masks
from mcuformer.frontend.proto import read_model
from mcuformer.ir.finite import FOLDED, GIVEN, check_finite
from mcuformer.ir.graph import Graph
from mcuformer.operators.verify import verify
from mcuformer.passes import run_float_passes, run_onnx_passes


def load_raw(
    path: str | os.PathLike[str], input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Graph:
    """The file's own nodes at stage "onnx": input shapes bound, nothing folded or rewritten."""
    return raw_graph(read_model(path), Path(path).parent, input_shapes)


def raw_graph(
    model: ModelProto, folder: Path, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Graph:
    """The same of a file that was read; `folder` holds its external data."""
    return inline_branches(bind_inputs(import_graph(model, folder), input_shapes))


def load_onnx_stage(
    path: str | os.PathLike[str], input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Graph:
    """The file at stage "onnx": static shapes, constants folded, activations fused."""
    return run_onnx_passes(load_raw(path, input_shapes))


def load_model(
    path: str | os.PathLike[str], input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Graph:
    """The file at stage "float" (docs/adr/0001), or one UnsupportedModelError or UsageError.

    `input_shapes` binds dynamic axes other than the batch: {"tokens": (1, 64, 192)}.
    """
    return imported(load_raw(path, input_shapes))


def imported(raw: Graph) -> Graph:
    """The canonical float graph of a file's own nodes (`raw_graph`)."""
    graph = check_finite(check_masks(verify(convert(run_onnx_passes(raw)))), GIVEN)
    with np.errstate(all="ignore"):  # what overflows or is 0 / 0 here is found and named below
        graph = run_float_passes(graph)
    return check_finite(verify(graph), FOLDED)
