"""The `mcuformer` command: one file per subcommand, imported only when it is called.

A command reads its options (`params.py`, `model_options.py` for what compile and analyze share), calls one
function of the room that does the work, and prints what that returns: figures as tables (`render*.py`), or
the same as one JSON document. Nothing is decided here, so that a program may call the rooms likewise.

stdout is for results, stderr for progress and errors (`console.py`). Streams may be closed, full or read by
nobody any more (`streams.py`). Whatever goes wrong ends in `invoke`: `failure.py` makes of any exception
one message that says what, where and what to do, and its exit code; a traceback comes with --debug.
Ctrl-C and SIGTERM unwind like an error, so that half-written files go (util/interrupts.py).
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise

import click

from mcuformer import __version__
from mcuformer.cli.failure import ended
from mcuformer.cli.streams import open_standard_streams
from mcuformer.errors import UsageError
from mcuformer.util.names import printable

COMMANDS: Mapping[str, str] = {
    "search": "Find a network within the chip's limits; train, compile and check it.",
    "train": "Train one network, or continue.",
    "adapt": "Train few numbers per task on a frozen network.",
    "export": "Write a trained network as ONNX.",
    "compile": "Compile an ONNX model to C, firmware and a report.",
    "analyze": "Print the figures of compile with no toolchain and no data.",
    "attention": "Show how far every head of a model looks.",
    "run": "Run the compiled firmware on one input in an emulator.",
    "validate": "Compare accuracy, logits and bits with the float model and the interpreter.",
    "flash": "Write the firmware to a board.",
    "monitor": "Show what a board sends over its serial port.",
    "boards": "List, show and check board files.",
    "ops": "List the operators that can be compiled.",
    "doctor": "Say what is installed, and how to get what is missing.",
}


class LazyGroup(click.Group):
    """Knows the commands by name; imports `mcuformer.cli.<name>` when one is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"mcuformer.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mcuformer", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks (or MCUFORMER_DEBUG=1).")
def cli(debug: bool) -> None:
    """Compile a vision transformer from ONNX to plain C that stays inside a microcontroller.

    Exit codes: 0 ok, 1 bug, 2 usage, 3 unsupported model, 4 does not fit, 5 validation failed,
    6 tool missing, 7 flashing failed, 130 interrupted.
    """
    # Before numpy is imported. Its products are small: a second thread saves a tenth of the time,
    # doubles the CPU seconds by waiting, and sums in another order.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _refuse_empty(args: Sequence[str]) -> None:
    """`-o "$DIR"` without a DIR would else mean this folder."""
    for before, arg in pairwise(("", *args)):
        if arg == "" or (arg.startswith("--") and arg.endswith("=")):
            where = f" behind {before}" if arg == "" and before.startswith("-") else ""
            raise UsageError(
                f"{printable(arg) or 'an argument'} is empty{where}",
                "has a shell variable no value?",
            )


def invoke(args: Sequence[str]) -> int:
    """Run one command line; every failure becomes one message and its exit code."""
    plain = [arg for arg in args if arg != "--debug"]  # understood before and after the command

    def work() -> None:
        _refuse_empty(plain)
        cli.main(args=plain, prog_name="mcuformer", standalone_mode=False)

    return ended(work, args)


def main() -> None:
    # large tables and few cycles: with Python's own 700 a third of a long compile is collection
    gc.set_threshold(50_000, 20, 50)
    if not open_standard_streams():
        print("error: stdout is closed\n  hint: >/dev/null drops what is printed", file=sys.stderr)
        sys.exit(2)
    code = invoke(sys.argv[1:])
    # CPython notes a Ctrl-C that left an exec of a string (how dataclasses and named tuples are made) and,
    # under `python -m`, dies by SIGINT for it at the very end, handled or not. The next exec forgets it.
    exec("")
    sys.exit(code)
