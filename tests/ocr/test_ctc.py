"""examples/ocr/ctc.c, with sanitizers, against the decoder in Python; every call may have any number of steps."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ocr_files import EXAMPLE, example

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no cc for a host program")
KNOWN = [*"abcde", "ß", "读", "字", "😀", " "]
ROOM = 200  # bytes of text


@dataclass(frozen=True)
class Decoded:
    text: str
    steps: int
    kept: int
    dropped: int
    score: int


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("ctc") / "ctc"
    sources = [EXAMPLE / "ctc.c", Path(__file__).parent / "ctc_main.c"]
    flags = ["-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{EXAMPLE}"]
    subprocess.run(["cc", *flags, *map(str, sources), "-o", str(to)], check=True)
    return to


def run(
    program: Path,
    scores: NDArray[np.int8],
    known: list[str] = KNOWN,
    room: int = ROOM,
    each: int = 3,
) -> Decoded:
    steps, classes = scores.shape
    listed = "".join(f"{c}\n" for c in known).encode()
    head = np.array([classes, steps, each, room, len(listed)], "<u4").tobytes()
    done = subprocess.run(
        [str(program)], input=head + listed + scores.tobytes(), stdout=subprocess.PIPE, check=True
    )
    numbers, _, text = done.stdout.partition(b"\n")
    return Decoded(text.decode(), *map(int, numbers.split()))


def steps_of(classes: list[int], count: int = len(KNOWN) + 1) -> NDArray[np.int8]:
    """The scores of steps whose largest class is given."""
    scores = np.full((len(classes), count), -128, np.int8)
    scores[np.arange(len(classes)), classes] = 100
    return scores


def test_repeats_and_blanks(program: Path) -> None:
    """A character twice needs a blank between."""
    found = run(program, steps_of([0, 1, 1, 0, 1, 2, 2, 2, 0, 0, 7, 7, 8, 0]))
    assert found == Decoded("aab读字", 14, 5, 0, 500)


def test_the_first_of_equals(program: Path) -> None:
    assert run(program, np.zeros((1, 11), np.int8)).text == ""
    scores = np.full((2, 11), 3, np.int8)
    scores[:, 0] = 2
    assert run(program, scores).text == "a"


@pytest.mark.parametrize("seed", range(6))
def test_drawn_maps(program: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    decode = example("models").decode
    for each in (1, 4, 40):
        scores = rng.integers(-128, 128, (40, 11)).astype(np.int8)
        scores[rng.random(40) < 0.4, 0] = 127
        found = run(program, scores, each=each)
        assert found.text == decode(scores.argmax(1).tolist(), KNOWN)


def test_thousands_of_classes(program: Path) -> None:
    known = [chr(0x4E00 + i) for i in range(6624)]
    assert (
        run(program, steps_of([6624, 0, 1, 300], 6625), known).text
        == known[-1] + known[0] + known[299]
    )


def test_what_has_no_room_is_dropped_whole(program: Path) -> None:
    """Three bytes of a character and the 0 at the end; what follows may still fit."""
    scores = steps_of([7, 8, 1, 2])
    assert run(program, scores, room=4) == Decoded("读", 4, 4, 3, 400)
    assert run(program, scores, room=5) == Decoded("读a", 4, 4, 2, 400)
    assert run(program, scores, room=1) == Decoded("", 4, 4, 4, 400)


def test_a_class_without_a_character_is_dropped(program: Path) -> None:
    assert run(program, steps_of([1, 10, 11], 12)) == Decoded("a ", 3, 3, 1, 300)
    assert run(program, steps_of([1]), known=[]) == Decoded("", 1, 1, 1, 100)


def test_a_list_may_end_without_a_line_feed(program: Path) -> None:
    head = np.array([3, 1, 1, 9, 3], "<u4").tobytes()
    scores = steps_of([2], 3).tobytes()
    done = subprocess.run(
        [str(program)], input=head + b"a\nb" + scores, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.endswith(b"\nb")
