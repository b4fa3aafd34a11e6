"""Makes the firmware of a chip that reads a line of text: two compiled networks, app.c and ctc.c.

    python examples/ocr/firmware.py [-o build/ocr] [--board stm32f746]

Leaves DIR/reader and DIR/direction, which `mcuformer compile` makes, and DIR/firmware.elf. What is
there is kept; `--anew` compiles all again.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from lines import HEIGHT, WIDTH, lines
from models import DIRECTION, READER, SQUEEZED, characters, model_file, squeezed, turned

from mcuformer.targets.board import Board
from mcuformer.targets.board_file import load_board
from mcuformer.targets.elf import read_elf
from mcuformer.targets.firmware import model_sources
from mcuformer.targets.objects import compile_objects
from mcuformer.targets.toolchain import find_toolchain

HERE = Path(__file__).parent
CALIBRATION_LINES, CALIBRATION_SEED = 24, 1


def compile_reader(work: Path, board: str) -> Path:
    """The class map leaves by lines, the weights lie in the QSPI flash."""
    out, data = work / "reader", work / "reader_lines.npz"
    np.savez_compressed(data, x=lines(CALIBRATION_SEED, CALIBRATION_LINES).pixels)
    options = [
        "--input-mode",
        "bands",
        "--output-mode",
        "lines",
        "--weights",
        "qspi",
        "--optimize",
        "ram",
    ]
    _compile(READER, out, board, data, WIDTH, options)
    return out


def compile_direction(work: Path, board: str) -> Path:
    """Half of what it is calibrated on stands upside down."""
    out, data = work / "direction", work / "direction_lines.npz"
    pixels = squeezed(lines(CALIBRATION_SEED, CALIBRATION_LINES).pixels)
    np.savez_compressed(data, x=np.concatenate([pixels, turned(pixels)]))
    options = ["--input-mode", "bands", "--weights", "internal", "--optimize", "ram"]
    _compile(DIRECTION, out, board, data, SQUEEZED, options)
    return out


def _compile(model: str, out: Path, board: str, data: Path, width: int, options: list[str]) -> None:
    command = [
        "compile", str(model_file(model)), "--board", board, "--name", out.name,
        "--calibration", str(data), "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5",
        "--input-shape", f"x=1,3,{HEIGHT},{width}", "-o", str(out), *options,
    ]  # fmt: skip
    print("$ mcuformer", *command, file=sys.stderr)
    result = subprocess.run(
        [sys.executable, "-m", "mcuformer", *command], check=False, stdout=sys.stderr
    )
    if result.returncode:  # it has said why
        sys.exit(result.returncode)


def link(work: Path, reader: Path, direction: Path, board: Board) -> Path:
    """DIR/firmware.elf: both models, one runtime, the reader's port with app.c in the place of its main.c."""
    made = work / "generated"
    made.mkdir(exist_ok=True)
    (made / "characters.h").write_text(characters_h(), encoding="utf-8")
    (made / "weights_id.h").write_text(weights_id_h(reader), encoding="utf-8")
    runtime = reader / "runtime"
    port = [p for p in sorted((reader / "port").glob("*.c")) if p.name != "main.c"]
    includes = [
        made,
        HERE,
        reader,
        direction,
        runtime / "include",
        runtime / "src",
        reader / "port",
    ]
    toolchain = find_toolchain()
    flags = tuple(f"-I{path}" for path in includes)
    sources = [
        *model_sources(reader), direction / "model.c", direction / "weights.c",
        *port, HERE / "app.c", HERE / "ctc.c",
    ]  # fmt: skip
    objects = compile_objects(
        sources, includes, lambda source: toolchain.compile_command(board.core, source, flags),
        toolchain.version, work / "objects",
    )  # fmt: skip
    elf = work / "firmware.elf"
    toolchain.link(board.core, objects, reader / "link.ld", elf)
    return elf


def characters_h() -> str:
    data = "".join(f"{c}\n" for c in characters(model_file(READER))).encode()
    rows = [", ".join(map(str, data[i : i + 24])) for i in range(0, len(data), 24)]
    return (
        "static const unsigned char ocr_characters[] = {\n    " + ",\n    ".join(rows) + ",\n};\n"
    )


def weights_id_h(reader: Path) -> str:
    """The bytes that the package's own main.c has beside the weights."""
    found = re.search(
        r"weights_id\[16\].*?\{\s*(.*?),?\s*\};", (reader / "port/main.c").read_text(), re.DOTALL
    )
    assert found is not None, "the reader's weights are not in QSPI"
    return f"#define OCR_WEIGHTS_ID {found[1]}\n"


def sizes(elf: Path, board: Board) -> dict[str, int]:
    """Bytes of every region of the board that the firmware takes: sections, SRAM with its stack."""
    found = {region.name: 0 for region in board.memory}
    for section in read_elf(elf).sections:
        for region in board.memory:
            if section.address in region:
                found[region.name] += section.end - section.address
    return found


def made(work: Path, board_name: str = "stm32f746", anew: bool = False) -> Path:
    """The firmware; networks are compiled where they are not there for this board."""
    work.mkdir(parents=True, exist_ok=True)
    board, parts = load_board(board_name), []
    for make in (compile_reader, compile_direction):
        out = work / make.__name__.removeprefix("compile_")
        there = not anew and _board_of(out) == board.name
        parts.append(out if there else make(work, board_name))
    return link(work, parts[0], parts[1], board)


def _board_of(package: Path) -> str | None:
    report = package / "report.json"
    return json.loads(report.read_text())["board"]["name"] if report.is_file() else None


def estimated_seconds(work: Path) -> float:
    """Of both networks, by the compiler's estimate for this chip and its flash."""
    reports = [json.loads((work / n / "report.json").read_text()) for n in ("direction", "reader")]
    return sum(r["estimate"]["seconds"] for r in reports)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("build/ocr"))
    parser.add_argument("--board", default="stm32f746")
    parser.add_argument("--anew", action="store_true")
    args = parser.parse_args()
    elf = made(args.output, args.board, args.anew)
    for name, size in sizes(elf, load_board(args.board)).items():
        print(f"{name:6} {size:>10,} B")


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from None
