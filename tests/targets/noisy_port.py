"""A line between two ends that loses, doubles and damages bytes."""

from __future__ import annotations

import random

from mcuformer.targets.client import Port


class Noise:
    """About one byte in `every` is harmed, by one of `kinds`: drop, double, corrupt."""

    def __init__(self, kinds: tuple[str, ...], every: int, seed: int) -> None:
        self.kinds, self.every, self.rng = kinds, every, random.Random(seed)
        self.harmed = 0

    def __call__(self, data: bytes) -> bytes:
        result = bytearray()
        for byte in data:
            kind = self.rng.choice(self.kinds) if self.rng.randrange(self.every) == 0 else ""
            self.harmed += bool(kind)
            if kind == "double":
                result.append(byte)
            if kind == "corrupt":
                byte ^= 1 << self.rng.randrange(8)
            if kind != "drop":
                result.append(byte)
        return bytes(result)


class NoisyPort:
    def __init__(self, port: Port, noise: Noise) -> None:
        self.port, self.noise = port, noise

    def write(self, data: bytes) -> None:
        self.port.write(self.noise(data))

    def read(self, timeout_s: float) -> bytes:
        until = self.port.seconds() + timeout_s
        while data := self.port.read(max(until - self.port.seconds(), 0.0)):
            if left := self.noise(data):
                return left
        return b""

    def seconds(self) -> float:
        return self.port.seconds()
