"""mcuformer doctor"""

from __future__ import annotations

import dataclasses
import platform

import click

from mcuformer.cli.console import print_json, table
from mcuformer.cli.params import json_option


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Say what is installed, what it is for, and how to get what is missing."""
    from mcuformer import __version__
    from mcuformer.cli.failure import reported
    from mcuformer.errors import ToolMissingError
    from mcuformer.targets.doctor import examine, missing_essentials

    findings = examine()
    if as_json:
        tools = [dataclasses.asdict(f) for f in findings]
        print_json({"mcuformer": __version__, "python": platform.python_version(), "tools": tools})
    else:
        rows = [[f.name, f.version or "missing", f.purpose] for f in findings]
        print(f"mcuformer {__version__}, Python {platform.python_version()}\n")
        print(table(["tool", "version", "what for"], rows))
        hints = [f"  {f.name}: {f.hint}" for f in findings if not f.version]
        if hints:
            print("\n".join(["\nto install what is missing:", *hints]))
    lacking = missing_essentials(findings)
    if lacking:
        error = ToolMissingError(f"missing: {', '.join(lacking)}", "the list above says how")
        raise reported(error, as_json)
