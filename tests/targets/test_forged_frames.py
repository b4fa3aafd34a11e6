"""A device, or what is taken for one, that sends right checksums around wrong contents."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from mcuformer.targets import frames
from mcuformer.targets.client import Client
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.frames import Frame, Parser, encode

Answer = Callable[[Frame], list[Frame]]
INFO = (400, 1000, 64, 8, 16, 4, 1, 1, 2, 0, 1, bytes(16), b"honest")
_INFO = struct.Struct("<6I3HBB16s40s")


class Forger:
    """Answers by a function; `noise` comes with every read."""

    def __init__(self, answer: Answer, noise: bytes = b"") -> None:
        self.answer, self.noise = answer, noise
        self.parser, self.pending, self.now = Parser(), b"", 0.0

    def write(self, data: bytes) -> None:
        for asked in self.parser.feed(data):
            self.pending += b"".join(map(encode, self.answer(asked)))

    def read(self, timeout_s: float) -> bytes:
        self.now += 0.01 if self.pending or self.noise else timeout_s
        data, self.pending = self.pending + self.noise, b""
        return data

    def seconds(self) -> float:
        return self.now


def reply(asked: Frame, body: bytes, argument: int | None = None) -> list[Frame]:
    number = asked.argument if argument is None else argument
    return [Frame(asked.type | frames.ANSWER, asked.sequence, number, body)]


def device(**changes: Callable[[Frame], list[Frame]]) -> Answer:
    """An honest one, but for `changes` by the name of the request."""

    def answer(asked: Frame) -> list[Frame]:
        name = {1: "info", 2: "run", 4: "output", 5: "layers", 7: "tensors"}.get(asked.type, "")
        if name in changes:
            return changes[name](asked)
        bodies = {
            "info": _INFO.pack(*INFO), "run": struct.pack("<iQQ", 0, 5, 0), "output": bytes(8),
            "layers": bytes(8), "tensors": struct.pack("<2I", 64, 8),
        }  # fmt: skip
        return reply(asked, bodies[name], 2 if name == "info" else None) if name in bodies else []

    return answer


def use(answer: Answer, noise: bytes = b"") -> None:
    client = Client(Forger(answer, noise), tries=3, compute_s=5.0)
    info = client.info()
    assert len(client.run(info, bytes(64)).output) == 8


def info(**changes: int) -> Callable[[Frame], list[Frame]]:
    names = [
        "arena",
        "hz",
        "input",
        "output",
        "line",
        "lines",
        "inputs",
        "outputs",
        "layers",
        "mode",
        "profiled",
        "id",
        "name",
    ]
    fields = [changes.get(n, v) for n, v in zip(names, INFO, strict=True)]
    return lambda asked: reply(asked, _INFO.pack(*fields), 2)


def read(count: int, at: int = 0, body: bytes | None = None) -> Callable[[Frame], list[Frame]]:
    packed = struct.pack("<I", count) if body is None else body
    return lambda asked: [Frame(frames.READ, 1, at, packed)]


def always_reading(asked: Frame) -> list[Frame]:
    return [Frame(frames.READ, 1, 0, struct.pack("<I", 64))]


def test_an_honest_one_works() -> None:
    use(device())


FORGED = {
    "short info": device(info=lambda a: reply(a, bytes(7), 2)),
    "long info": device(info=lambda a: reply(a, bytes(1024), 2)),
    "a mode that is none": device(info=info(mode=9)),
    "no inputs": device(info=info(inputs=0)),
    "too many tensors": device(info=info(outputs=65535)),
    "a huge output": device(info=info(output=0xFFFFFFFF)),
    "another sum": device(tensors=lambda a: reply(a, struct.pack("<2I", 64, 9))),
    "a table without end": device(tensors=lambda a: reply(a, bytes(1024))),
    "an empty answer": device(output=lambda a: reply(a, b"")),
    "more output than there is": device(output=lambda a: reply(a, bytes(9))),
    "a short DONE": device(run=lambda a: reply(a, b"1234")),
    "a status": device(run=lambda a: reply(a, struct.pack("<iQQ", -77, 1, 1))),
    "READ of 4 GB": device(run=read(0xFFFFFFFF)),
    "READ beyond the input": device(run=read(64, at=1)),
    "READ without a count": device(run=read(0, body=b"")),
    "WRITE beyond the outputs": device(run=lambda a: [Frame(frames.WRITE, 1, 1, bytes(8))]),
    "WRITE for ever": lambda a: (
        [Frame(frames.WRITE, 1, 0, bytes(8))] if a.type in (2, 8) else device()(a)
    ),
    "lines that do not come": device(
        info=lambda a: reply(a, _INFO.pack(*INFO), 3),
        tensors=lambda a: reply(a, struct.pack("<3I", 64, 8, 4)),
    ),
    "READ for ever": lambda a: always_reading(a) if a.type in (2, 3) else device()(a),
    "the wrong sequence": lambda a: [Frame(a.type | 0x80, a.sequence ^ 1, 2, _INFO.pack(*INFO))],
    "a refusal": lambda a: [Frame(frames.REFUSED, a.sequence, a.type)],
}


@pytest.mark.parametrize("answer", FORGED.values(), ids=FORGED)
def test_a_forged_answer_is_an_error_of_the_device(answer: Answer) -> None:
    with pytest.raises(FirmwareError) as caught:
        use(answer)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("noise", [b"\xc5\x4d", b"x" * 100, b"\n@", random.Random(1).randbytes(50)])
def test_noise_without_end_is_an_error(noise: bytes) -> None:
    with pytest.raises(FirmwareError, match="does not answer"):
        use(lambda asked: [], noise)


@pytest.mark.parametrize("seed", range(200))
def test_anything_is_an_error_or_a_result(seed: int) -> None:
    rng = random.Random(seed)

    def answer(asked: Frame) -> list[Frame]:
        frames_ = device()(asked)
        if rng.random() < 0.5:
            return frames_
        kind = rng.choice([asked.type | 0x80, frames.READ, frames.DONE, 0x8F, rng.randrange(256)])
        body = rng.randbytes(rng.choice([0, 4, 8, 20, 88, 1024]))
        return [Frame(kind, asked.sequence, rng.choice([2, asked.argument, 1 << 31]), body)]

    try:
        use(answer)
    except FirmwareError as error:
        assert str(error)
