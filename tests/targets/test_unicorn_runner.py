from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from small_model import ARENA_BYTES, INPUT_BYTES, expected, write_small_model

from mcuformer.targets.board_file import load_board
from mcuformer.targets.chip import counter as counting
from mcuformer.targets.elf import read_elf, usage
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.firmware import build_firmware
from mcuformer.targets.unicorn_runner import run

BOARDS = ("stm32f746", "nucleo-h743zi", "stm32f429", "nucleo-f446re")
IMAGES = [random.Random(i).randbytes(INPUT_BYTES) for i in range(3)]
RUNAWAY = "for (int i = 0; i < 400000; i++) ((volatile char *)arena)[i] = 1;"


@pytest.mark.parametrize("mode", ["resident", "bands", "flash"])
@pytest.mark.parametrize("name", BOARDS)
def test_outputs_of_several_inputs(firmware: Callable, name: str, mode: str) -> None:
    elf, board = firmware(name, mode=mode)
    result = run(elf, board, IMAGES)
    assert [list(struct.unpack("<6i", i.output)) for i in result.inferences] == [
        expected(image)[1] for image in IMAGES
    ]
    assert all((i.io_instructions or 0) > 0 for i in result.inferences) == (mode == "bands")


@pytest.mark.parametrize("name", BOARDS)
def test_lines_that_leave_are_counted_apart(firmware: Callable, name: str) -> None:
    elf, board = firmware(name, mode="resident", lines=True)
    (lines,) = run(elf, board, IMAGES[:1]).inferences
    elf, board = firmware(name, mode="resident")
    (resident,) = run(elf, board, IMAGES[:1]).inferences
    assert lines.output == resident.output
    assert (lines.io_instructions or 0) > 1000 and not resident.io_instructions
    assert abs((lines.instructions or 0) - (resident.instructions or 0)) < 200


def test_counts_are_exact_and_repeatable(firmware: Callable) -> None:
    elf, board = firmware()
    first, second = run(elf, board, IMAGES[:1]), run(elf, board, IMAGES[:1], seed=9)
    one, two = first.inferences[0], second.inferences[0]
    assert (one.instructions, one.layers) == (two.instructions, two.layers)
    assert one.layers is not None and one.instructions is not None
    assert 0 < one.instructions - sum(one.layers) < 100  # what invoke does between layers
    assert first.blocks is not None and all(n > 0 for _, n in first.blocks.values())


def test_the_python_counter_counts_the_same(
    firmware: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    elf, board = firmware()
    native = run(elf, board, IMAGES[:1])
    monkeypatch.setattr(counting, "native_hook", lambda: None)
    assert run(elf, board, IMAGES[:1]).inferences[0].layers == native.inferences[0].layers


def test_trace_shows_every_layer(firmware: Callable) -> None:
    elf, board = firmware(trace=True)
    for image, inference in zip(
        IMAGES, run(elf, board, IMAGES, trace=True).inferences, strict=True
    ):
        assert inference.trace is not None
        found = [inference.trace[layer].view("<i4").ravel().tolist() for layer in (0, 1)]
        assert found == list(expected(image))


def test_high_water_is_within_the_linked_bytes(firmware: Callable) -> None:
    elf, board = firmware()
    result, used = run(elf, board, IMAGES), usage(read_elf(elf), board)
    assert result.stack_high_water_bytes is not None and result.sram_high_water_bytes is not None
    assert 200 < result.stack_high_water_bytes < 600
    assert result.sram_high_water_bytes > ARENA_BYTES + result.stack_high_water_bytes
    assert (
        result.sram_high_water_bytes <= used.regions["sram"] - 2048 + result.stack_high_water_bytes
    )


def test_ccm_is_a_second_arena(tmp_path: Path) -> None:
    board = load_board("stm32f429")
    extra = 'static uint8_t more[60000] MCF_SECTION(".mcf_arena1");'
    body = "for (int i = 0; i < 60000; i++) more[i] = (uint8_t)i; sums[0] += more[59999];"
    package = write_small_model(tmp_path, board, arena_bytes=190_000, extra=extra, body=body)
    elf = build_firmware(package, board)
    assert usage(read_elf(elf), board).regions["ccm"] == 60_000
    result = run(elf, board, IMAGES[:1])
    assert (
        struct.unpack("<6i", result.inferences[0].output)[0]
        == expected(IMAGES[0])[1][0] + 59999 % 256
    )
    assert 60_000 <= (result.sram_high_water_bytes or 0) - ARENA_BYTES < 61_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One package whose model changes: its other objects are compiled once."""
    return tmp_path_factory.mktemp("package")


RECURSE = """
__attribute__((noinline, unused)) static int recurse(int n) {
    volatile int a[8] = {n};
    return n ? recurse(n - 1) + a[0] : 0;
}
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (RUNAWAY, r"write of 1 bytes at 0x20050000, .* 1 B past the end of sram, in invoke"),
        ("sums[0] = *(volatile int *)4;", "read of 4 bytes at 0x00000004, a NULL pointer"),
        ("*(volatile int *)0x08000100 = 1;", "write of 4 bytes at .* forbidden in flash"),
        ("*(volatile int *)0x1004 = 1;", "write of 4 bytes at .* forbidden in itcm"),
        ("*(volatile int *)0x90000000 = 1;", "write of .* forbidden in qspi"),
        ("((void (*)(void))0x20001001)();", "execution of .* forbidden in sram"),
        ("*(volatile int *)0x40000000 = 1;", "no peripheral is known"),
        ("((volatile uint8_t *)arena)[70000] = 1;", "written, which belongs to no section"),
        ("sums[0] = recurse(1000);", r"the stack of 2,048 B overflows in "),
        ("return 7;", r"invoke failed \(status 7\)"),
    ],
)
def test_wrong_programs_are_stopped(folder: Path, body: str, message: str) -> None:
    board = load_board("stm32f746")
    elf = build_firmware(
        write_small_model(folder, board, extra=RECURSE, body=body, qspi=True), board
    )
    with pytest.raises(FirmwareError, match=message):
        run(elf, board, IMAGES[:1])


def test_a_hole_between_two_memories_is_no_memory(tmp_path: Path) -> None:
    board = load_board("stm32f429")
    elf = build_firmware(write_small_model(tmp_path, board, body=RUNAWAY), board)
    with pytest.raises(FirmwareError, match=r"at 0x20030000, .* 1 B past the end of sram"):
        run(elf, board, IMAGES[:1])


def test_an_input_of_the_wrong_size(firmware: Callable) -> None:
    elf, board = firmware()
    with pytest.raises(FirmwareError, match="the model takes 240 B"):
        run(elf, board, [b"short"])
