"""The C of the UART service against hostile bytes, built for this machine with sanitizers."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from small_model import INPUT_BYTES, LINE_BYTES, expected, write_small_model

from mcuformer.files.paths import RUNTIME_C
from mcuformer.targets import frames
from mcuformer.targets.board_file import load_board
from mcuformer.targets.frames import Frame, Parser, encode
from mcuformer.targets.host_runner import host_compiler

_FLAGS = (
    "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all", "-DMCF_SECTION(name)=", "-DMCF_PROFILE",
)  # fmt: skip
_PORT = RUNTIME_C / "port"
_PIECES = {"resident": 1024, "bands": LINE_BYTES}  # of a READ
Service = Callable[..., Path]
Script = list[tuple[int, bytes]]  # pause in ms, bytes


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    built: dict[str, Path] = {}

    def build(mode: str, lines: bool = False) -> Path:
        key = f"{mode} {lines}"
        if key not in built:
            folder = tmp_path_factory.mktemp("service")
            write_small_model(folder, load_board("stm32f746"), mode=mode, lines=lines)
            (folder / "mcf_board.h").write_text("#define MCF_CPU_HZ 1000000u\n")
            sources = [folder / "model.c", Path(__file__).with_name("service_port.c")]
            sources += [_PORT / name for name in ("serve.c", "frame.c", "profile.c")]
            folders = (folder, folder / "runtime" / "include", _PORT)
            words = [*(f"-I{f}" for f in folders), *map(str, sources), "-o", str(folder / "serve")]
            subprocess.run([host_compiler(), *_FLAGS, *words], check=True)
            built[key] = folder / "serve"
        return built[key]

    return build


def answers(program: Path, script: Script) -> tuple[list[Frame], bytes]:
    """Frames and other bytes that it sent; a sanitizer's report fails the test."""
    data = b"".join(struct.pack("<II", pause, len(part)) + part for pause, part in script)
    done = subprocess.run([program], input=data, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode(errors="replace")[-3000:]
    parser = Parser()
    found = [*parser.feed(done.stdout), *parser.silence()]
    return found, bytes(parser.text)


def inference(number: int, image: bytes, piece: int, first: int) -> list[bytes]:
    """RUN and the data for its READs, whose sequences begin with `first`."""
    parts = [encode(Frame(frames.RUN, number & 255, number))]
    for i, at in enumerate(range(0, len(image), piece)):
        parts.append(encode(Frame(frames.DATA, first + i, at, image[at : at + piece])))
    return parts


@pytest.mark.parametrize("mode", ["resident", "bands"])
def test_the_service_works_on_a_script(service: Service, mode: str) -> None:
    image = random.Random(5).randbytes(INPUT_BYTES)
    script = [(0, part) for part in inference(1, image, _PIECES[mode], 1)]
    found, _ = answers(service(mode), [*script, (0, encode(Frame(frames.OUTPUT, 9, 0)))])
    done = [f for f in found if f.type == frames.DONE]
    assert [f.body[:4] for f in done] == [bytes(4)]
    assert list(struct.unpack("<6i", found[-1].body)) == expected(image)[1]


def test_lines_are_told_until_they_are_taken(service: Service) -> None:
    """The first answer is of another offset; the last one is lost: no more lines, and a status."""
    image = random.Random(5).randbytes(INPUT_BYTES)
    script: Script = [(0, part) for part in inference(1, image, _PIECES["bands"], 1)]
    taken = [Frame(frames.TAKEN, 7, 4), Frame(frames.TAKEN, 8, 0), Frame(frames.TAKEN, 9, 16)]
    found, _ = answers(service("bands", True), script + [(0, encode(f)) for f in taken])
    told = [(f.sequence, f.argument, f.body) for f in found if f.type == frames.WRITE]
    sums = struct.pack("<6i", *expected(image)[1])
    assert told == [(7, 0, sums[:16]), (8, 0, sums[:16]), (9, 16, sums[16:])]
    assert [f.body[:4] for f in found if f.type == frames.DONE] == [bytes(4)]


def fuzzed(service: Service, rng: random.Random) -> None:
    """A script of good, mutated, cut and random bytes; afterwards the service still answers."""
    mode, lines = rng.choice(["resident", "bands"]), rng.random() < 0.3
    script: Script = []
    for _ in range(rng.randrange(1, 12)):
        script += [(_pause(rng), part) for part in _parts(rng, mode)]
    last = Frame(frames.INFO, 0x5A, 0)
    tail: Script = [(30_000, b""), *[(1000, encode(last))] * 3]
    found, text = answers(service(mode, lines), script + tail)
    known = {
        frames.DONE,
        frames.READ,
        frames.WRITE,
        frames.REFUSED,
        *(k | 0x80 for k in (1, 4, 5, 7)),
    }
    assert {f.type for f in found} <= known
    if b"@exit" in text:
        return  # a mutation made a QUIT
    assert not text
    assert any((f.type, f.sequence) == (frames.INFO | 0x80, 0x5A) for f in found[-3:])


def _pause(rng: random.Random) -> int:
    return rng.choice([0, 0, 0, 0, 0, 5, 25, 600])


def _parts(rng: random.Random, mode: str) -> list[bytes]:
    kind = rng.randrange(5)
    if kind == 0:
        return [rng.randbytes(rng.choice([1, 7, 100, 3000]))]
    if kind == 1:
        return [encode(_absurd(rng))]
    number, first = rng.randrange(1, 1 << 32), rng.randrange(4) if rng.random() < 0.5 else 1
    parts = inference(number, rng.randbytes(INPUT_BYTES), _PIECES[mode], first)
    if kind == 4:
        parts = [parts[0], *(_lying(rng, i + 1) for i in range(rng.randrange(1, 6)))]
    parts.append(encode(Frame(rng.choice([4, 5, 7]), 3, rng.choice([0, 3, 1 << 31]))))
    return [_mutated(rng, p) if rng.random() < 0.3 else p for p in parts] if kind == 3 else parts


def _absurd(rng: random.Random) -> Frame:
    """A right checksum around anything."""
    number = rng.choice([0, 1, 24, 25, 0xFFFFFFFF, 0x80000000, rng.randrange(1 << 32)])
    kind = rng.choice([1, 2, 3, 4, 5, 7, 0x82, 0x83, 0x8F, rng.choice([8, 77, 255])])
    return Frame(
        kind, rng.randrange(256), number, rng.randbytes(rng.choice([0, 1, 40, 1023, 1024]))
    )


def _lying(rng: random.Random, sequence: int) -> bytes:
    """The answer that the service waits for, but for its length."""
    length = rng.choice([0, 1, LINE_BYTES - 1, LINE_BYTES + 1, INPUT_BYTES + 1, 1023, 1024])
    return encode(Frame(frames.DATA, sequence, 0, rng.randbytes(min(length, 1024))))


def _mutated(rng: random.Random, data: bytes) -> bytes:
    part = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(part))
        match rng.randrange(4):
            case 0:
                part[at] ^= 1 << rng.randrange(8)
            case 1:
                del part[at:]
            case 2:
                part[at:at] = rng.randbytes(rng.randrange(1, 5))
            case _:
                part[at : at + 2] = rng.choice([b"\xff\xff", b"\x00\x00", frames.SYNC])
        if not part:
            break
    return bytes(part)


@pytest.mark.parametrize("length", [0, 1, LINE_BYTES - 1, LINE_BYTES + 1, 1023, 1024])
def test_data_of_another_length_are_asked_for_again(service: Service, length: int) -> None:
    run = encode(Frame(frames.RUN, 1, 1))
    data = encode(Frame(frames.DATA, 1, 0, bytes(length)))
    found, _ = answers(service("bands"), [(0, run), (0, data)])
    asked = [(f.sequence, f.argument) for f in found if f.type == frames.READ]
    assert asked[:2] == [(1, 0), (2, 0)]


@pytest.mark.parametrize("seed", range(40))
def test_hostile_bytes(service: Service, seed: int) -> None:
    fuzzed(service, random.Random(seed))


@pytest.mark.long
def test_many_hostile_bytes(service: Service) -> None:
    for seed in range(1000, 6000):
        fuzzed(service, random.Random(seed))
