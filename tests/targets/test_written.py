"""What a device sends while it computes: pieces in any order, some twice, none beyond the end."""

from __future__ import annotations

from mcuformer.targets.written import Written


def test_pieces_in_any_order() -> None:
    got = Written(bytearray(6))
    assert got.put(4, b"ef") and got.put(0, b"ab") and got.whole(0, 2) == b"ab"
    assert got.whole(0, 6) is None
    assert got.put(2, b"cd") and got.put(4, b"ef") and got.whole(0, 6) == b"abcdef"


def test_no_byte_beyond_the_end() -> None:
    got = Written(bytearray(6))
    assert not got.put(5, b"ab") and not got.put(1 << 31, b"a")
    assert got.put(6, b"") and got.whole(5, 1) is None
