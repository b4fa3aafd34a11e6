"""Several inputs and outputs through every runner: one behind the other, in order."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from packages import EXTRA, package, small, with_extra

from mcuformer.targets import host_runner, qemu_runner, unicorn_runner
from mcuformer.targets.board_file import load_board
from mcuformer.targets.elf import read_elf
from mcuformer.targets.firmware import build_firmware
from mcuformer.targets.unicorn_runner import EmulatedDevice

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed"
)
F746 = load_board("stm32f746")


@pytest.mark.parametrize("mode", ["resident", "bands", "flash"])
def test_unicorn_and_host(mode: str, tmp_path: Path) -> None:
    made = with_extra(small(mode=mode))
    folder = package(made, tmp_path / "p", "stm32f746")
    inputs, expected = [], []
    for seed in (1, 2):
        x, extra = made.input(seed), bytes(range(seed, seed + EXTRA))
        inputs.append(x.tobytes() + extra)
        expected.append(made.expected(x) + extra)
    elf = build_firmware(folder, F746)
    device = EmulatedDevice(read_elf(elf), F746)
    image = len(inputs[0]) - EXTRA
    assert device.info.inputs == (image, EXTRA)
    assert device.info.outputs == (len(expected[0]) - EXTRA, EXTRA)
    results = [unicorn_runner.run(elf, F746, inputs)]
    program = host_runner.build_host(folder, sanitize=True)
    results.append(host_runner.run(program, inputs, processes=1))
    for result in results:
        assert [i.output for i in result.inferences] == expected, result.emulator


@needs_qemu
@pytest.mark.parametrize("mode", ["bands", "flash"])
def test_qemu(mode: str, tmp_path: Path) -> None:
    made = with_extra(small(mode=mode))
    folder = package(made, tmp_path / "p", "stm32f746")
    x, extra = made.input(), bytes(range(EXTRA))
    elf = build_firmware(folder, F746, qemu=True)
    result = qemu_runner.run(elf, [x.tobytes() + extra] * 2, core=F746.core, timeout_s=120)
    assert [i.output for i in result.inferences] == [made.expected(x) + extra] * 2


def test_three_hundred_outputs_have_a_table_of_their_own(tmp_path: Path) -> None:
    """INFO has one size whatever the model; the sizes of its tensors come in parts."""
    made = with_extra(small())
    many = replace(made.program, outputs=made.program.outputs * 150)
    folder = package(replace(made, program=many), tmp_path / "p", "stm32f746")
    elf = build_firmware(folder, F746)
    x, extra = made.input(), bytes(range(EXTRA))
    result = unicorn_runner.run(elf, F746, [x.tobytes() + extra])
    assert result.inferences[0].output == (made.expected(x) + extra) * 150
