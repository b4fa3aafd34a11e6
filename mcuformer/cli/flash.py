"""mcuformer flash"""

from __future__ import annotations

from pathlib import Path

import click

from mcuformer.cli.params import directory_argument


@click.command("flash")
@directory_argument
@click.option(
    "--runner",
    type=click.Choice(["st-flash", "openocd"]),
    help="The tool that writes internal flash; QSPI is always openocd's.  [default: the board's]",
)
@click.option("--dry-run", is_flag=True, help="Print every step's command line, run none.")
def command(directory: str, runner: str | None, dry_run: bool) -> None:
    """Write the firmware in DIR to a board."""
    from mcuformer.package.compiled import open_package
    from mcuformer.package.execution import own_firmware
    from mcuformer.targets.flash import flash, plan_flash

    package = open_package(Path(directory))
    elf = own_firmware(package)
    steps = plan_flash(elf, package.board, elf.parent, runner)
    if dry_run:
        print("\n".join(map(str, steps)))
        return
    flash(steps, lambda step: print(f"writing {step.what}", flush=True))
    print("done")
