from __future__ import annotations

import random
import zlib

from hypothesis import given
from hypothesis import strategies as st

from mcuformer.targets.frames import Frame, Parser, encode

frames = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=1024),
)


def test_documented_bytes() -> None:
    data = encode(Frame(1, 7, 0x01020304, b"\xaa"))
    covered = bytes([1, 7, 5, 0, 4, 3, 2, 1, 0xAA])
    assert data == b"\xc5\x4d" + covered + zlib.crc32(covered).to_bytes(4, "little")


@given(st.lists(frames, max_size=5), st.integers(1, 50))
def test_frames_come_through_in_any_pieces(sent: list[Frame], piece: int) -> None:
    data = b"@hello\r\n" + b"".join(map(encode, sent)) + b"bye\n"
    parser = Parser()
    got = [f for i in range(0, len(data), piece) for f in parser.feed(data[i : i + piece])]
    assert got == sent
    assert list(parser.lines()) == ["@hello", "bye"]


@given(st.binary(max_size=200), frames)
def test_noise_before_a_frame_does_not_hide_it(noise: bytes, frame: Frame) -> None:
    parser = Parser()
    got = [*parser.feed(noise + encode(frame)), *parser.silence()]
    assert frame in got


def test_a_damaged_frame_vanishes_and_the_next_is_read() -> None:
    rng = random.Random(1)
    for _ in range(300):
        whole = Frame(2, 3, 4, rng.randbytes(20))
        first = bytearray(encode(whole))
        place = rng.randrange(len(first))
        kind = rng.choice(("drop", "double", "corrupt"))
        if kind == "drop":
            del first[place]
        elif kind == "double":
            first.insert(place, first[place])
        else:
            first[place] ^= 1 << rng.randrange(8)
        parser, second = Parser(), Frame(5, 6, 7, rng.randbytes(30))
        got = [*parser.feed(bytes(first) + encode(second)), *parser.silence()]
        assert got[-1] == second
        assert got[:-1] in ([], [whole])  # a doubled first byte harms nothing
