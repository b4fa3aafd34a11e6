from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from small_model import INPUT_BYTES, expected, write_small_model

from mcuformer.errors import ToolMissingError
from mcuformer.targets import host_runner
from mcuformer.targets.board_file import load_board
from mcuformer.targets.faults import FirmwareError

IMAGES = [random.Random(i).randbytes(INPUT_BYTES) for i in range(7)]


@pytest.mark.parametrize(
    ("name", "mode", "lines"),
    [("stm32f746", "bands", True), ("host", "resident", False), ("host", "flash", True)],
)
def test_inputs_are_shared_out_and_come_back_in_order(
    tmp_path: Path, name: str, mode: str, lines: bool
) -> None:
    board = load_board(name)
    write_small_model(tmp_path, board, mode=mode, lines=lines)
    program = host_runner.build_host(tmp_path, trace=True)
    result = host_runner.run(program, IMAGES, trace=True)
    for image, inference in zip(IMAGES, result.inferences, strict=True):
        assert list(struct.unpack("<6i", inference.output)) == expected(image)[1]
        assert inference.trace is not None and inference.instructions is None
        assert inference.trace[0].view("<i4").ravel().tolist() == expected(image)[0]
    assert set(result.why) >= {"instructions", "layers", "sram_high_water_bytes"}


def test_no_inputs(tmp_path: Path) -> None:
    program = host_runner.build_host(write_small_model(tmp_path, load_board("host")))
    assert host_runner.run(program, []).inferences == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("((volatile char *)arena)[300] = 1;", "AddressSanitizer: global-buffer-overflow"),
        ("volatile int big = 0x7fffffff; sums[0] = big + 1;", "signed integer overflow"),
        ("sums[0] = *(volatile int *)((char *)arena + 1);", "misaligned address"),
    ],
)
def test_sanitizers_stop_wrong_code(tmp_path: Path, body: str, message: str) -> None:
    board = load_board("host")
    write_small_model(tmp_path, board, body=body)
    with pytest.raises(FirmwareError, match=message):
        host_runner.run(host_runner.build_host(tmp_path, sanitize=True), IMAGES[:1])


def test_status_of_invoke(tmp_path: Path) -> None:
    board = load_board("host")
    write_small_model(tmp_path, board, body="return 5;")
    with pytest.raises(FirmwareError, match="@error status 5"):
        host_runner.run(host_runner.build_host(tmp_path), IMAGES[:1])


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissingError, match="no host C compiler"):
        host_runner.host_compiler()
