"""What a compilation starts from: the model's file and the board's, each read once."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, TensorProto

from mcuformer.compile.options import CompileOptions
from mcuformer.errors import UsageError
from mcuformer.files.paths import BOARDS
from mcuformer.frontend.load import raw_graph
from mcuformer.frontend.proto import parse_model, read_file, weight_tensors
from mcuformer.ir.graph import Graph
from mcuformer.targets.board import Board
from mcuformer.targets.board_file import load_board
from mcuformer.util.names import checked_model_name

_WEIGHTS = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.DOUBLE,
    TensorProto.INT8,
)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """`raw`: the file's own nodes at stage "onnx". `parameters`: elements of its weight tensors, those
    of more than one float or int8. `sha256`: of the model file's bytes."""

    options: CompileOptions
    board: Board
    raw: Graph
    parameters: int
    sha256: str

    @property
    def board_file(self) -> Path:
        """The file that the board was loaded from: a path, or one that the package brings."""
        name = self.options.board
        own = name.endswith(".toml") or Path(name).name != name
        return Path(name) if own else BOARDS / f"{self.board.name}.toml"


def read_source(options: CompileOptions) -> Source:
    """UsageError and UnsupportedModelError for what is no model, no board or no name."""
    _check(options)
    board = load_board(options.board)
    data = read_file(options.model)
    model = parse_model(data, options.model.name)
    return Source(
        options=options,
        board=board,
        raw=raw_graph(model, options.model.parent, options.input_shapes),
        parameters=_parameters(model),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _check(options: CompileOptions) -> None:
    """Names first, so that a wrong one fails before minutes of work."""
    if options.name is not None:
        checked_model_name(options.name)
    for path, what in ((options.model, "model"), (options.calibration, "calibration data")):
        if path is not None and not path.exists():
            raise UsageError(f"{what} {path} does not exist")
    if options.model.is_dir():
        raise UsageError(f"{options.model} is a directory, not an ONNX file")


def _parameters(model: ModelProto) -> int:
    tensors = [t for t in weight_tensors(model) if t.data_type in _WEIGHTS]
    return sum(size for size in (math.prod(t.dims) for t in tensors) if size > 1)
