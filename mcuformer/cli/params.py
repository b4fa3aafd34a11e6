"""Click parameter types and the options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.core import ParameterSource

from mcuformer.errors import UsageError
from mcuformer.search.protocol import checked_protocol
from mcuformer.util.sizes import parse_count, parse_floats, parse_size


class Parsed(click.ParamType):
    """A parameter read by a function that raises UsageError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self.parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.parse(value) if isinstance(value, str) else value
        except UsageError as error:
            self.fail(error.message, param, ctx)


class FiniteFloat(click.FloatRange):
    """A number within bounds: NaN is within all of them by click's comparisons."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


def belong_to(option: str, given: bool, names: Iterable[str]) -> None:
    """UsageError where one of the options `names` is on the command line and `option` is not: it
    would be ignored without a word."""
    for name in _on_command_line(names):
        if not given:
            raise UsageError(f"{name} goes with {option}", f"give {option}, or leave {name} out")


def useless_with(option: str, given: bool, names: Iterable[str]) -> None:
    """The same where both are."""
    for name in _on_command_line(names):
        if given:
            raise UsageError(f"{name} changes nothing with {option}", "leave one of them out")


def _on_command_line(names: Iterable[str]) -> list[str]:
    context = click.get_current_context()
    given = [n for n in names if context.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    return [o.opts[-1] for n in given for o in context.command.params if o.name == n]


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """'pixels=1,3,224,224' or, for a model with one input, '1,3,224,224' (name '')."""
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(part) for part in sizes.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or any(not 0 < size < 2**31 for size in shape):
        raise UsageError(f"'{text[:60]}' is not a shape such as input=1,3,224,224")
    return name, shape


def parse_decibels(text: str) -> float:
    """'10' or '-3.5'."""
    values = parse_floats(text)
    if len(values) != 1 or abs(values[0]) > 1000:
        raise UsageError(f"'{text[:60]}' is not a number of dB such as 10")
    return values[0]


def parse_seconds(text: str) -> float:
    """'90' or '0.5'."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 1e6:
        raise UsageError(f"'{text[:60]}' is no number of seconds above 0, such as 90")
    return seconds


def parse_radius(text: str) -> int:
    """'2'; 'auto' is 0."""
    if text == "auto":
        return 0
    if not text.isdecimal() or not 0 < int(text) < 256:
        raise UsageError(f"'{text[:60]}' is no radius in patches, such as 2, and not auto")
    return int(text)


def parse_percent(text: str) -> float:
    """'0.5', with or without '%'."""
    values = parse_floats(text.removesuffix("%"))
    if len(values) != 1 or not 0 <= values[0] <= 100:
        raise UsageError(f"'{text[:60]}' is no percentage such as 0.5")
    return values[0]


SIZE = Parsed("size", parse_size)
COUNT = Parsed("count", parse_count)
SECONDS = Parsed("seconds", parse_seconds)
FLOATS = Parsed("numbers", parse_floats)
SHAPE = Parsed("shape", parse_shape)

board_option = click.option(
    "--board",
    "board",
    required=True,
    metavar="NAME|FILE.toml",
    help="A board's name (mcuformer boards list) or a board file.",
)
protocol_option = click.option(
    "--protocol",
    default="baseline",
    show_default=True,
    metavar="P",
    type=Parsed("protocol", checked_protocol),
    help="Augmentation: none, baseline, cutmix, modern; with parts, as in baseline+autoaugment or modern-mixup.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else there."
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Print every layer, too.")
directory_argument = click.argument(
    "directory", metavar="DIR", type=click.Path(exists=True, file_okay=False)
)
emulator_option = click.option(
    "--emulator",
    type=click.Choice(["unicorn", "qemu", "renode", "host"]),
    default="unicorn",
    show_default=True,
    help="Where the code runs.",
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=SECONDS,
    metavar="SECONDS",
    help="Give up when the program has run this long.  [default: from the estimate, 30 or more]",
)
width_option = click.option(
    "--width",
    "--task",
    "width",
    metavar="R|NAME",
    help="One of the package's operating points, or of its tasks.  [default: the full width, of validate all; "
    "the task with most outputs]",
)
