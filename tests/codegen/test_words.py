"""Constant data as C words."""

import numpy as np
import pytest

from mcuformer.codegen.constants import WORDS_PER_LINE, CWords, outside, words


@pytest.mark.parametrize("dtype", ["int8", "int16", "<i4", ">i4"])
@pytest.mark.parametrize("count", [1, 3, 32, 33, 70])
def test_words_are_the_bytes_in_little_endian(count: int, dtype: str) -> None:
    data = np.random.default_rng(count).integers(-128, 128, count).astype(dtype)
    lines = words(data)
    texts = [text for line in lines for text in line.split(", ")]
    raw = data.astype(data.dtype.newbyteorder("<")).tobytes()
    want = [raw[i : i + 4].ljust(4, b"\0")[::-1].hex() for i in range(0, len(raw), 4)]
    assert [text.rstrip(",") for text in texts] == [f"0x{word}" for word in want]
    assert all(line.endswith(",") for line in lines)
    assert {line.count("0x") for line in lines[:-1]} <= {WORDS_PER_LINE}


def array(name: str, size: int, role: str) -> CWords:
    return CWords(name, size, 4, role, "", ())


@pytest.mark.parametrize("room, moved", [(70, ""), (69, "c"), (40, "c"), (39, "ca"), (0, "cab")])
def test_the_largest_constants_go_with_the_weights(room: int, moved: str) -> None:
    """Where the internal flash has no room for all of them; weights lie there in any case."""
    sizes = (("w", 500, "weights"), ("a", 30, "const"), ("b", 10, "const"), ("c", 30, "const"))
    arrays = tuple(array(*row) for row in sizes)
    found = outside(arrays, room)
    assert len(found) == 1 + len(moved) and "w" in found
    assert sum(a.size_bytes for a in arrays if a.name not in found) <= room
