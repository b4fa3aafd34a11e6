"""Renders a line of text, lets the emulated chip read it, upright and upside down, and prints what it saw.

    python examples/ocr/demo.py [TEXT] [-o build/ocr] [--picture docs/ocr.png]

`make demo-ocr` installs what this needs. The first run compiles the networks (some minutes).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from chip import Reading, read
from firmware import estimated_seconds, made, sizes
from lines import Style, one
from models import turned
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mcuformer.targets.board_file import load_board

BOARD = "stm32f746"
TEXT = "芯片读文字 reads 2026"
SHADES = "#*+-. "


def drawing(pixels: NDArray[np.uint8]) -> list[str]:
    """[48, 320, 3] as up to 12 lines of 80 characters."""
    grey = pixels.mean(axis=2).reshape(12, 4, 80, 4).mean(axis=(1, 3)) / 256 * len(SHADES)
    rows = ("".join(SHADES[int(v)] for v in row).rstrip() for row in grey)
    return [row for row in rows if row]


def sentence(reading: Reading) -> str:
    sure = reading.turned_score if reading.turned else 1 - reading.turned_score
    stands = "turned" if reading.turned else "upright"
    return f"{reading.text}   ({stands}: {sure:.0%} sure; characters: {reading.score:.0%})"


def picture(pixels: NDArray[np.uint8], reading: Reading, size: str, to: Path) -> None:
    """The line as the chip gets it, the text that it read, and its bytes."""
    image = Image.new("RGB", (680, 220), (255, 255, 255))
    line = Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1])).resize((640, 96))
    image.paste(line, (20, 14))
    draw = ImageDraw.Draw(image)
    draw.rectangle((19, 13, 660, 110), outline=(160, 160, 160))
    draw.text((20, 126), reading.text, fill=(0, 90, 0), font=Style.font(34))
    draw.text((20, 180), size, fill=(60, 60, 60), font=Style.font(18))
    image.quantize(64).save(to, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="?", default=TEXT)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/ocr"))
    parser.add_argument(
        "--picture", type=Path, metavar="PNG", help="also draw line, text and bytes"
    )
    args = parser.parse_args()

    board, elf = load_board(BOARD), made(args.output, BOARD)
    line = one(args.text)
    print("\n".join(drawing(line)) + "\n")
    result = read(elf, board, [line, turned(line[None])[0]])
    for name, reading in zip(("as it is", "upside down"), result.found, strict=True):
        print(f"{name:12} {sentence(reading)}")
    upright = result.found[0]
    seconds = estimated_seconds(args.output)
    regions = {r.name: r.size_bytes for r in board.memory}
    sram = sum(r.size_bytes for r in board.arenas)
    used = sizes(elf, board)
    print(
        f"{'SRAM':12} {result.sram_bytes:,} B written, of {sram:,}: both networks, the picture, the stack"
    )
    for name in ("flash", "qspi"):
        print(f"{name:12} {used[name]:,} B of {regions[name]:,}")
    print(
        f"{'work':12} {upright.instructions:,} instructions, about {seconds:.1f} s at {board.clock.cpu_hz // 10**6} MHz"
    )
    if args.picture:
        size = f"STM32F746, emulated: {result.sram_bytes:,} bytes of SRAM, {seconds:.1f} s"
        picture(line, upright, size, args.picture)


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from None
