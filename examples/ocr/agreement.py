"""How often the int8 code reads the same text as onnxruntime reads with the float file.

    python examples/ocr/agreement.py [-o build/ocr] [--lines 50] [--seed 2] [--emulator host|unicorn]

`host` runs the reader's C built for this machine, `unicorn` the chip's whole firmware (direction and
decoding included, 4 s of one CPU for each line or more). Both have the interpreter's bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from chip import read
from firmware import made
from lines import Lines, as_floats, lines
from models import DIRECTION, READER, characters, decode, model_file, squeezed, turned
from numpy.typing import NDArray

from mcuformer.inputs.codec import device_bytes
from mcuformer.package.compiled import open_package
from mcuformer.package.execution import Executor, codec_of
from mcuformer.package.outputs import split
from mcuformer.targets.board_file import load_board


def by_onnxruntime(given: Lines) -> list[str]:
    file = model_file(READER)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    known = characters(file)
    maps = (session.run(None, {"x": x[None]})[0][0] for x in as_floats(given.pixels))
    return [decode(y.argmax(-1).tolist(), known) for y in maps]


def by_host(work: Path, given: Lines) -> list[str]:
    """The reader alone, built for this machine; decoded by the Python of ctc.c."""
    package, known = open_package(work / "reader"), characters(model_file(READER))
    ints = codec_of(package).to_int([as_floats(given.pixels)])
    with Executor(package, "host") as host:
        found = [i.output for i in host.run(device_bytes(ints)).inferences]
    maps = (split(package.outputs, data)[0].reshape(-1, len(known) + 1) for data in found)
    return [decode(y.argmax(-1).tolist(), known) for y in maps]


def by_chip(work: Path, given: Lines) -> list[str]:
    elf = work / "firmware.elf"
    return [r.text for r in read(elf, load_board("stm32f746"), list(given.pixels)).found]


def directions(work: Path, given: Lines) -> str:
    """Which lines are taken as turned, of all upright and then all upside down: from 0.9 on (as app.c)."""
    pixels = squeezed(np.concatenate([given.pixels, turned(given.pixels)]))
    stands = np.arange(len(pixels)) >= len(given.pixels)
    package = open_package(work / "direction")
    with Executor(package, "host") as host:
        sent = device_bytes(codec_of(package).to_int([as_floats(pixels)]))
        found = [split(package.outputs, i.output)[0] for i in host.run(sent).inferences]
    ours = np.array([int(y.reshape(-1)[1]) + 128 for y in found]) >= 230
    session = onnxruntime.InferenceSession(
        str(model_file(DIRECTION)), providers=["CPUExecutionProvider"]
    )
    theirs = _turned_by(session, as_floats(pixels))
    return (
        f"direction as rendered: onnxruntime {(theirs == stands).sum()}, "
        f"int8 {(ours == stands).sum()} of {len(pixels)}; the two agree on {(ours == theirs).sum()}"
    )


def _turned_by(session: onnxruntime.InferenceSession, x: NDArray) -> NDArray[np.bool_]:
    return np.array([session.run(None, {"x": one[None]})[0][0, 1] >= 0.9 for one in x])


def report(given: Lines, expected: Sequence[str], got: Sequence[str]) -> int:
    """Prints the lines that differ; how many are the same."""
    for text, a, b in zip(given.texts, expected, got, strict=True):
        if a != b:
            print(f"rendered {text!r}, onnxruntime {a!r}, int8 {b!r}")
    same = sum(a == b for a, b in zip(expected, got, strict=True))
    print(f"the same text as onnxruntime  {same} of {len(got)}")
    for name, found in (("onnxruntime", expected), ("int8", got)):
        right = sum(a == b for a, b in zip(given.texts, found, strict=True))
        print(f"as rendered, {name:16} {right} of {len(got)}")
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("build/ocr"))
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--emulator", choices=("host", "unicorn"), default="host")
    args = parser.parse_args()
    made(args.output)
    given = lines(args.seed, args.lines)
    run = by_host if args.emulator == "host" else by_chip
    report(given, by_onnxruntime(given), run(args.output, given))
    print(directions(args.output, given))


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from None
