"""Constant data as C words."""

import numpy as np
import pytest

from mcuformer.codegen.constants import WORDS_PER_LINE, words


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
