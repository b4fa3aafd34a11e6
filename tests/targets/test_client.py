from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest
from noisy_port import Noise, NoisyPort
from small_model import INPUT_BYTES, expected

from mcuformer.targets import frames
from mcuformer.targets.chip.machine import Machine
from mcuformer.targets.client import Client
from mcuformer.targets.elf import read_elf
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.frames import Frame
from mcuformer.targets.unicorn_runner import EmulatedPort

IMAGES = [random.Random(i).randbytes(INPUT_BYTES) for i in range(8)]


def device(firmware: Callable, **choices: object) -> EmulatedPort:
    elf, board = firmware(**choices)
    return EmulatedPort(Machine(read_elf(elf), board))


def test_info(firmware: Callable) -> None:
    info = Client(device(firmware)).info()
    assert (info.name, info.input_mode, info.layers, info.profiled) == ("small", "bands", 2, True)
    assert info.model_id == bytes(range(1, 17)).hex() and info.cycles_hz == 216_000_000
    assert (info.inputs, info.outputs) == ((240,), (24,))
    assert (info.input_bytes, info.output_bytes) == (240, 24)


def test_a_model_whose_output_leaves_by_lines_speaks_protocol_3(firmware: Callable) -> None:
    """A host that does not know of lines refuses it by that number."""
    client = Client(device(firmware, lines=True))
    assert client._ask(frames.INFO, 0).argument == 3
    info = client.info()
    assert (info.inputs, info.outputs, info.leaving) == ((240,), (24,), (True,))
    with pytest.raises(FirmwareError, match="refuses request 4"):
        client.run(info, IMAGES[0])
        client._ask(frames.OUTPUT, 0)


def test_a_device_of_protocol_1_is_refused_by_name() -> None:
    """Its INFO is shorter and says so in the argument: it is not looked into."""
    port = AnswersInfo(1, bytes(80))
    with pytest.raises(FirmwareError, match=r"speaks protocol 1, .* flash the firmware of this"):
        Client(port).info()


def test_a_host_of_protocol_1_refuses_this_device(firmware: Callable) -> None:
    """All that it looks at: INFO's answer has its sequence, its CRC and another version in it."""
    client = Client(device(firmware))
    assert client._ask(frames.INFO, 0).argument == 2


class AnswersInfo:
    """A device that knows one answer."""

    def __init__(self, argument: int, body: bytes) -> None:
        self.argument, self.body = argument, body
        self.parser, self.pending, self.now = frames.Parser(), b"", 0.0

    def write(self, data: bytes) -> None:
        for asked in self.parser.feed(data):
            answer = Frame(asked.type | frames.ANSWER, asked.sequence, self.argument, self.body)
            self.pending += frames.encode(answer)

    def read(self, timeout_s: float) -> bytes:
        self.now += 0.01 if self.pending else timeout_s
        data, self.pending = self.pending, b""
        return data

    def seconds(self) -> float:
        return self.now


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("mode", ["bands", "resident"])
@pytest.mark.parametrize(
    "kinds", [("drop",), ("double",), ("corrupt",), ("drop", "double", "corrupt")]
)
def test_a_bad_line_costs_time_but_no_bits(
    firmware: Callable, kinds: tuple[str, ...], mode: str, lines: bool
) -> None:
    noise = Noise(kinds, every=100, seed=len(mode))
    client = Client(NoisyPort(device(firmware, mode=mode, lines=lines), noise))
    info = client.info()
    for image in IMAGES:
        done = client.run(info, image)
        assert list(struct.unpack("<6i", done.output)) == expected(image)[1]
        assert done.layers is not None and 0 < done.cycles - sum(done.layers) < 100
    assert noise.harmed > 10 and client.repeats > 0


def test_a_run_is_never_repeated_by_the_device(firmware: Callable) -> None:
    port = device(firmware, mode="resident")
    client = Client(port)
    info = client.info()
    client.run(info, IMAGES[0])
    before = port.machine.instructions
    client._send(Frame(frames.RUN, 99, client.run_number))  # as if its answer had been lost
    (done,) = client._frames(0.1)
    assert (done.type, done.sequence, done.argument) == (frames.DONE, 99, client.run_number)
    assert port.machine.instructions - before < 10_000


def test_a_silent_host_ends_the_run(firmware: Callable) -> None:
    port = device(firmware)
    client = Client(port)
    info = client.info()
    client._supply = lambda request, image: None  # type: ignore[method-assign]
    with pytest.raises(FirmwareError, match=r"the device did not get its input \(status -1\)"):
        client.run(info, IMAGES[0])
    del client._supply
    assert client.run(info, IMAGES[0]).output  # and it works again


def test_a_host_that_takes_no_lines_ends_the_run(firmware: Callable) -> None:
    client = Client(device(firmware, lines=True, mode="resident"))
    info = client.info()
    client._take = lambda told, written: None  # type: ignore[method-assign]
    with pytest.raises(FirmwareError, match=r"could not send its lines \(status -3\)"):
        client.run(info, IMAGES[0])
    del client._take
    assert list(struct.unpack("<6i", client.run(info, IMAGES[0]).output)) == expected(IMAGES[0])[1]


def test_requests_that_make_no_sense_are_refused(firmware: Callable) -> None:
    client = Client(device(firmware))
    with pytest.raises(FirmwareError, match="refuses request 77"):
        client._ask(77, 0)
    with pytest.raises(FirmwareError, match="refuses request 4"):
        client._ask(frames.OUTPUT, 0)  # nothing has run yet
    info = client.info()
    client.run(info, IMAGES[0])
    with pytest.raises(FirmwareError, match="refuses request 4"):
        client._ask(frames.OUTPUT, 25)


def test_a_dead_line_is_an_error(firmware: Callable) -> None:
    noise = Noise(("drop",), every=1, seed=0)
    with pytest.raises(FirmwareError, match="does not answer"):
        Client(NoisyPort(device(firmware), noise), tries=2).info()


def test_quit_prints_exit_and_sleeps(firmware: Callable) -> None:
    port = device(firmware)
    client = Client(port)
    client.quit(3)
    assert client.lines[-1] == "@exit 3" and port.asleep


def test_a_model_of_one_width_has_no_other(firmware: Callable) -> None:
    client = Client(device(firmware))
    client.choose(None)
    with pytest.raises(FirmwareError, match="refuses request 9"):
        client.choose(0)
