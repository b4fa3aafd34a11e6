"""pyserial on a pseudo-terminal whose other end is the firmware in the emulator."""

from __future__ import annotations

import os
import pty
import random
import select
import struct
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from noisy_port import Noise
from small_model import INPUT_BYTES, expected

from mcuformer.errors import UsageError, ValidationError
from mcuformer.targets.board import Board
from mcuformer.targets.chip.machine import Machine
from mcuformer.targets.elf import read_elf
from mcuformer.targets.frames import Frame
from mcuformer.targets.serial_device import describe, monitor, run

IMAGES = [random.Random(i).randbytes(INPUT_BYTES) for i in range(3)]
MODEL_ID = bytes(range(1, 17)).hex()


@contextmanager
def board_on_a_pty(
    built: tuple[Path, Board], noise: Callable[[bytes], bytes] = bytes
) -> Iterator[str]:
    """The name of a serial port; both directions pass through `noise`."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    machine, ended = Machine(read_elf(built[0]), built[1]), threading.Event()

    def bridge() -> None:
        while not ended.is_set() and machine.resume() == "waiting":
            if sent := noise(bytes(machine.chip.usart.sent)):
                os.write(master, sent)
            machine.chip.usart.sent.clear()
            # the firmware waits: let it wait about as long in its own time (10 ms) as here
            if select.select([master], [], [], 0.01)[0]:
                machine.chip.usart.received.extend(noise(os.read(master, 4096)))

    thread = threading.Thread(target=bridge, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(slave)
        os.close(master)


def outputs(result: object) -> list[list[int]]:
    return [list(struct.unpack("<6i", i.output)) for i in result.inferences]  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", ["bands", "resident"])
def test_validate_on_a_board(firmware: Callable, mode: str) -> None:
    done: list[int] = []
    with board_on_a_pty(firmware(mode=mode)) as port:
        result = run(port, 115_200, IMAGES, model_id=MODEL_ID, progress=done.append)
    assert outputs(result) == [expected(image)[1] for image in IMAGES]
    assert done == [1, 2, 3] and result.emulator == port
    assert all(i.layers is not None and len(i.layers) == 2 for i in result.inferences)


@pytest.mark.parametrize("kind", ["drop", "double", "corrupt"])
def test_a_bad_cable(firmware: Callable, kind: str) -> None:
    noise = Noise((kind,), every=150, seed=4)
    with board_on_a_pty(firmware(), noise) as port:
        result = run(port, 115_200, IMAGES[:2])
    assert noise.harmed > 3
    assert outputs(result) == [expected(image)[1] for image in IMAGES[:2]]


def test_another_model(firmware: Callable) -> None:
    with (
        board_on_a_pty(firmware()) as port,
        pytest.raises(ValidationError, match=r"runs model 010203040506 .small., not ffff"),
    ):
        run(port, 115_200, IMAGES, model_id="ff" * 16)


def test_an_input_of_the_wrong_size(firmware: Callable) -> None:
    with (
        board_on_a_pty(firmware()) as port,
        pytest.raises(UsageError, match="the device takes 240 B"),
    ):
        run(port, 115_200, [b"12"])


def test_no_such_port() -> None:
    with pytest.raises(UsageError, match="serial port /dev/no-such-tty cannot be opened"):
        run("/dev/no-such-tty", 115_200, [])


def test_monitor_shows_text_and_frames(firmware: Callable) -> None:
    shown: list[str] = []

    class Enough(Exception):
        pass

    def show(text: str) -> None:
        shown.append(text)
        if text.startswith("[INFO"):
            raise Enough

    with board_on_a_pty(firmware()) as port, pytest.raises(Enough):
        monitor(port, 115_200, show)
    assert shown[-1].startswith("[INFO 0: argument 2, 88 B: 08010000")


def test_frames_in_words() -> None:
    assert describe(Frame(0x83, 12, 1024, b"\0\4\0\0")) == "[READ 12: argument 1024, 4 B: 00040000]"
    assert describe(Frame(0x44, 1, 0)) == "[0x44 1: argument 0]"
