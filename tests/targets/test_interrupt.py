"""Ctrl-C and SIGTERM while the emulator is inside one of our callbacks."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import pytest

from mcuformer.targets.chip.engine import Engine
from mcuformer.util.interrupts import interrupt_afterwards, terminate_as_interrupt

CODE, RAM = 0x08000000, 0x20000000
LOOP = b"\x00\x68\xfd\xe7"  # ldr r0, [r0]; b .-2


def handlers() -> list[object]:
    return [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("callback", ["block", "register"])
def test_a_signal_in_a_callback_ends_the_run(
    number: int, callback: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    engine, calls = Engine("cortex-m7"), 0

    def called(*_: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 100:
            os.kill(os.getpid(), number)
        return RAM  # the next address to load from

    code = ctypes.create_string_buffer(LOOP, 4096)
    engine.map_memory(CODE, code, 5)
    engine.map_registers(
        RAM, 4096, called if callback == "register" else lambda _: RAM, lambda *_: None
    )
    if callback == "block":
        engine.on_block(called)
    engine.set("r0", RAM)
    before = handlers()
    with pytest.raises(KeyboardInterrupt):
        engine.run(CODE)
    assert 100 <= calls < 1000 and not lost and handlers() == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    try:
        with terminate_as_interrupt(), interrupt_afterwards(lambda: None):
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
