from __future__ import annotations

from pathlib import Path

import pytest

from mcuformer.errors import UsageError
from mcuformer.files.paths import BOARDS
from mcuformer.targets.board_file import check_board_file, load_board, shipped_boards

GOOD = (BOARDS / "stm32f746g-disco.toml").read_text()


def problems_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.toml"
    path.write_text(text)
    return "\n".join(check_board_file(path))


def test_the_papers_chips() -> None:
    f746, h743, f429 = map(load_board, ("stm32f746", "nucleo-h743zi", "stm32f429i-disco"))
    assert f746.name == "stm32f746g-disco" and f746.sram_bytes == 327_680
    assert f746.flash.size_bytes == 1 << 20 and f746.flash_bytes == 17 << 20
    assert f746.itcm is not None and f746.itcm.base == 0x1000 and f746.itcm.end == 0x4000
    assert h743.sram_bytes == 512 << 10 and h743.flash_bytes == 2 << 20 and h743.qspi_region is None
    assert [r.size_bytes for r in f429.arenas] == [192 << 10, 64 << 10] and f429.core == "cortex-m4"
    assert load_board("host").core == "host"


def test_shipped_files_are_sound() -> None:
    for path in BOARDS.glob("*.toml"):
        assert check_board_file(path) == []
    assert len(shipped_boards()) == len([*BOARDS.glob("*.toml")])


def test_a_file_of_ones_own_goes_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('"320k"', '"0x40000"').replace("stm32f746g-disco", "mine"))
    assert load_board(path).sram_bytes == 256 << 10
    assert load_board(str(path)).name == "mine"


@pytest.mark.parametrize("text", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n")])
def test_what_editors_of_windows_write(tmp_path: Path, text: str) -> None:
    assert problems_of(tmp_path, text) == ""


def test_unknown_name_suggests_one() -> None:
    with pytest.raises(UsageError) as caught:
        load_board("stm32f764")
    assert "did you mean stm32f746?" in str(caught.value)


def test_missing_file() -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_board("no/such/board.toml")


def test_every_wrong_key_is_reported_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('core = "cortex-m7"', 'core = "cortex-m9"\ncolour = "red"')
    text = text.replace("hse_bypass = false", "hse_bypas = false").replace('"16M"', '"16X"')
    text = text.replace("tx_af = 7", 'tx_af = "7"').replace('kind = "itcm"', 'kind = "rom"')
    found = problems_of(tmp_path, text)
    for line in (
        "core: 'cortex-m9' is none of cortex-m7, cortex-m4, cortex-m33, cortex-m3, cortex-m0plus, host",
        "colour: unknown key",
        "clock.hse_bypas: unknown key",
        "memory[3].size: '16X' is not a size",
        "uart.tx_af: '7' is no integer",
        "memory[0].kind: 'rom' is none of",
    ):
        assert line in found


def test_missing_keys(tmp_path: Path) -> None:
    found = problems_of(tmp_path, 'name = "x"\ncore = "cortex-m7"\n')
    for line in ("stack_bytes: missing", "memory: missing"):
        assert line in found
    found = problems_of(tmp_path, GOOD.replace('family = "stm32f7"\n', ""))
    assert "uart: is for the start-up code of a family, and the file names none" in found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"name = ",
        b"[[memory]]\n" * 3,
        b"memory = 3",
        b"x = " + b"[" * 5000 + b"]" * 5000,
    ],
)
def test_broken_files_give_messages(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(data)
    assert check_board_file(path)
    with pytest.raises(UsageError):
        load_board(path)
