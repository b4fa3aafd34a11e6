"""mcuformer monitor"""

from __future__ import annotations

from contextlib import suppress

import click

BAUD = 460_800  # of the boards that the package brings


@click.command("monitor")
@click.argument("port", metavar="PORT")
@click.option("--baud", type=click.IntRange(min=1), default=BAUD, show_default=True)
def command(port: str, baud: int) -> None:
    """Show every line and every frame that a board sends on serial PORT, until Ctrl-C."""
    from mcuformer.targets.serial_device import monitor

    with suppress(KeyboardInterrupt):
        monitor(port, baud, lambda text: print(text, flush=True))
