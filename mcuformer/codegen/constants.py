"""Constant data as C: arrays of little-endian words, and the const structs of kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.codegen.symbols import BARE, Symbols, same
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.operators.table import kernel_of
from mcuformer.program.program import Param, Program

WORDS_PER_LINE = 8
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
    """Everything in flash beside code: `arrays` in order, `structs` by parameter key, C names of bare constants."""

    arrays: tuple[CWords, ...]
    structs: tuple[CStruct, ...]
    struct_names: Mapping[str, str]
    constant_names: Mapping[str, str]
    weights_bytes: int


def words(data: NDArray) -> tuple[str, ...]:
    """Lines of hexadecimal little-endian words; the last word is padded with zeros.

    Millions of them in a large model: the text is written as an array of characters.
    """
    raw = np.ascontiguousarray(data).astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
    raw += b"\0" * (-len(raw) % 4)
    digits = np.frombuffer(raw, "<u4").byteswap().tobytes().hex().encode()
    cells = np.tile(np.frombuffer(b"0x........, ", np.uint8), (len(digits) // 8, 1))
    cells[:, 2:10] = np.frombuffer(digits, np.uint8).reshape(-1, 8)
    text, width = cells.tobytes().decode(), cells.shape[1] * WORDS_PER_LINE
    return tuple(text[i : i + width].rstrip() for i in range(0, len(text), width))


def collect(program: Program, symbols: Symbols) -> Constants:
    """Pack every parameter of the program, named after its layer; equal arrays are stored once."""
    names = symbols.table({key: param.op.name for key, param in program.params.items()})
    arrays: list[CWords] = []
    stored: dict[tuple[bytes, int, str], str] = {}
    structs: list[CStruct] = []
    weights = 0

    def store(name: str, array: CArray, comment: str) -> str:
        nonlocal weights
        key = (array.data.tobytes(), array.align, array.role)
        if key not in stored:
            stored[key] = name
            weights += array.data.nbytes
            arrays.append(
                CWords(
                    name,
                    array.data.nbytes,
                    max(4, array.align),
                    array.role,
                    comment,
                    words(array.data),
                )
            )
        return stored[key]

    for key, param in program.params.items():
        packed = pack(param, program)
        local = {
            a.suffix: store(f"{names[key]}__{a.suffix}", a, _comment(param, a))
            for a in packed.arrays
        }
        fields = tuple((f, _field(f, v, local, packed)) for f, v in packed.fields.items())
        structs.append(CStruct(names[key], packed.ctype, _title(param, program), fields))
    bare = symbols.table(same(program.constants), BARE)
    for value, name in bare.items():
        data = program.graph.values[value].data
        assert data is not None
        bare[value] = store(name, CArray("", "", data, 4, "weights"), value)
    return Constants(tuple(arrays), tuple(structs), names, bare, weights)


def outside(constants: Constants, room_bytes: int) -> frozenset[str]:
    """Names of the arrays that lie with the weights, where these have a flash of their own: the weights,
    and of the others the largest ones until the rest has `room_bytes`."""
    found = {a.name for a in constants.arrays if a.role == "weights"}
    others = [a for a in constants.arrays if a.name not in found]
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
