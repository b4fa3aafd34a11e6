"""How long a program may run: one that does not end is an error, not a wait."""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer.targets.faults import FirmwareError

DEFAULT_S = 600.0  # where no estimate is known
_START_S = 30.0  # until the first instruction, on a busy machine
# Instructions per second that even a busy machine reaches, Unicorn without a native counter.
_SLOWEST: Mapping[str, float] = {"host": 20e6, "qemu": 4e6, "unicorn": 4e6, "renode": 1e6}


class EndlessError(FirmwareError):
    """The program did not end within its time."""


def default_limit_s(emulator: str, instructions: int | None, inputs: int) -> float:
    """For a run of `inputs` inferences of an estimated `instructions` each."""
    if instructions is None:
        return DEFAULT_S
    return _START_S + inputs * instructions / _SLOWEST[emulator]


def endless(what: str, limit_s: float, where: str = "") -> EndlessError:
    """`what` ran: "QEMU", "the host program"; `where` it was, where that is known."""
    seconds = f"{limit_s:,.0f}" if limit_s >= 10 else f"{limit_s:g}"
    return EndlessError(
        f"{what} did not end within {seconds} s{where and ', '}{where}",
        "--timeout SECONDS gives it more; if the same input ends elsewhere, the code loops: "
        "please report the model",
    )
