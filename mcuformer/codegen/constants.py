"""Constant data as C: arrays of little-endian words, and the const structs of kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcuformer.codegen.blob import Blob
from mcuformer.codegen.symbols import BARE, Symbols, same
from mcuformer.ir.graph import Graph
from mcuformer.kernels.base import CACHE_LINE, CArray, KernelData
from mcuformer.operators.flash_bytes import CODE_BYTES
from mcuformer.operators.table import INT_OPS, kernel_of
from mcuformer.program.program import Param, Program
from mcuformer.targets.board import Board

WORDS_PER_LINE = 8
_CELL = np.frombuffer(b"0x........, ", np.uint8)
_CALL_BYTES = 96  # of a call in generated code: six or seven arguments and the loop around it
_POINTER_BYTES = 4
# Fields that are const void *: an array goes in as it is (a test reads the runtime's headers)
UNTYPED = frozenset(
    {
        ("mcf_linear_t", "table"),
        ("mcf_conv2d_t", "core.table"),
        ("mcf_conv2d_t", "pad"),
        ("mcf_unary_t", "table"),
    }
)


@dataclass(frozen=True, slots=True)
class CWords:
    """A C array of 32-bit words; `comment` says what it holds."""

    name: str
    size_bytes: int
    align: int
    role: str
    comment: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CStruct:
    name: str
    ctype: str
    comment: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Constants:
    """Of one program: `structs` by parameter key, C names of bare constants."""

    structs: tuple[CStruct, ...]
    struct_names: Mapping[str, str]
    constant_names: Mapping[str, str]


@dataclass(slots=True)
class Store:
    """Arrays in flash, in order, of one program or of several; equal ones are stored once.

    `blob`: the matrices that several programs share, under the C name `blob_name`. `shares_structs`:
    structs that are equal are one, too.
    """

    blob: Blob = field(default_factory=Blob)
    blob_name: str = ""
    shares_structs: bool = False
    arrays: list[CWords] = field(default_factory=list)
    weights_bytes: int = 0
    _names: dict[tuple[bytes, int, str], str] = field(default_factory=dict)
    _structs: dict[tuple[object, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.blob.data.size:
            comment = "the weights of all widths"
            self.add(self.blob_name, CArray("", "", self.blob.data, CACHE_LINE, "weights"), comment)

    def add(self, name: str, array: CArray, comment: str) -> str:
        """The C name under which it is stored."""
        key = (array.data.tobytes(), array.align, array.role)
        if key not in self._names:
            self._names[key] = name
            size = array.data.nbytes
            self.weights_bytes += size
            self.arrays.append(
                CWords(name, size, max(4, array.align), array.role, comment, words(array.data))
            )
        return self._names[key]

    def known(self, struct: CStruct) -> str:
        """The C name of an equal struct that came before, or its own."""
        if not self.shares_structs:
            return struct.name
        return self._structs.setdefault((struct.ctype, struct.fields), struct.name)


def words(data: NDArray) -> tuple[str, ...]:
    """Lines of hexadecimal little-endian words; the last word is padded with zeros.

    Millions of them in a large model: the text is written as an array of characters.
    """
    raw = np.ascontiguousarray(data).astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
    raw += b"\0" * (-len(raw) % 4)
    digits = np.frombuffer(raw, "<u4").byteswap().tobytes().hex().encode()
    cells = np.empty((len(digits) // 8, len(_CELL)), np.uint8)
    cells[:] = _CELL
    cells[:, 2:10] = np.frombuffer(digits, np.uint8).reshape(-1, 8)
    text, width = cells.tobytes().decode(), cells.shape[1] * WORDS_PER_LINE
    return tuple(text[i : i + width].rstrip() for i in range(0, len(text), width))


def collect(program: Program, symbols: Symbols, store: Store) -> Constants:
    """Pack every parameter of the program into `store`, named after its layer."""
    names = symbols.table({key: param.op.name for key, param in program.params.items()})
    structs: list[CStruct] = []
    for key, param in program.params.items():
        packed = pack(param, program)
        shared = {a.suffix: at for a in packed.arrays if (at := store.blob.find(a)) is not None}
        local = {
            a.suffix: store.add(f"{names[key]}__{a.suffix}", a, _comment(param, a))
            for a in packed.arrays
            if a.suffix not in shared
        }
        local |= {name: _within(store.blob_name, at.offset) for name, at in shared.items()}
        strides = {a.suffix: a for a in packed.arrays if a.suffix in shared}
        changed = {
            _beside(f, "w_stride"): shared[v].group_bytes
            * int(packed.fields[_beside(f, "kp")])
            // strides[v].group_bytes
            for f, v in packed.fields.items()
            if isinstance(v, str) and v in shared
        }
        fields = tuple(
            (f, _field(f, v, local, packed)) for f, v in {**packed.fields, **changed}.items()
        )
        struct = CStruct(names[key], packed.ctype, _title(param, program), fields)
        names[key] = store.known(struct)
        if names[key] == struct.name:
            structs.append(struct)
    bare = symbols.table(same(program.constants), BARE)
    for value, name in bare.items():
        data = program.graph.values[value].data
        assert data is not None
        bare[value] = store.add(name, CArray("", "", data, 4, "weights"), value)
    return Constants(tuple(structs), names, bare)


def _beside(field: str, name: str) -> str:
    """Another field of the struct that `field` is in."""
    head, dot, _ = field.rpartition(".")
    return f"{head}{dot}{name}"


def _within(name: str, offset: int) -> str:
    return f"{name} + {offset}" if offset else name


def matrices(graph: Graph) -> Iterator[CArray]:
    """The packed weights of a graph's layers, in their order."""
    for op in graph.ops:
        if INT_OPS[op.kind].weights is not None:
            packed = kernel_of(op).pack(op, graph)
            yield from (array for array in packed.arrays if array.group_bytes)


def room_bytes(board: Board, constants: Sequence[Constants], calls: int) -> int:
    """What code and structs leave of the internal flash; more than enough where nothing is built."""
    if board.is_host:
        return 1 << 40
    structs = sum(1 + len(s.fields) for c in constants for s in c.structs)
    return board.flash.size_bytes - CODE_BYTES - calls * _CALL_BYTES - structs * _POINTER_BYTES


def outside(arrays: Sequence[CWords], room_bytes: int) -> frozenset[str]:
    """Names of the arrays that lie with the weights, where these have a flash of their own: the weights,
    and of the others the largest ones until the rest has `room_bytes`."""
    found = {a.name for a in arrays if a.role == "weights"}
    others = [a for a in arrays if a.name not in found]
    inside = sum(a.size_bytes for a in others)
    for array in sorted(others, key=lambda a: -a.size_bytes):
        if inside <= room_bytes:
            break
        inside -= array.size_bytes
        found.add(array.name)
    return frozenset(found)


def pack(param: Param, program: Program) -> KernelData:
    return kernel_of(param.op).pack(param.op, program.graph, **param.choices)


def _field(name: str, value: int | str, local: Mapping[str, str], packed: KernelData) -> str:
    if isinstance(value, int) or value not in local:
        return str(value)
    if (packed.ctype, name) in UNTYPED:
        return local[value]
    ctype = next(a.ctype for a in packed.arrays if a.suffix == value)
    return f"(const {ctype} *){local[value]}"


def _comment(param: Param, array: CArray) -> str:
    return f"{param.op.name}: {array.suffix}, {array.ctype}[{array.data.size}]"


def _title(param: Param, program: Program) -> str:
    shape = "x".join(map(str, program.graph.type(param.op.outputs[0]).shape))
    return f"{param.op.name} -> {param.op.outputs[0]} [{shape}]"
