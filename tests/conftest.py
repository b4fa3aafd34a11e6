"""Options of the whole test run."""

from __future__ import annotations

import gc
import signal
import subprocess
from collections.abc import Generator

import pytest


def pytest_configure() -> None:
    """As the command does: tests compile in their own process, and look for cycles as seldom.

    A shell ignores Ctrl-C in what it runs in the background, and so does all that is started there; tests
    of interruptions would wait for ever.
    """
    gc.set_threshold(50_000, 20, 50)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/files anew (make golden)"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a failed command of a test said, which its exception keeps to itself."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, subprocess.CalledProcessError):
        for name, said in (("output", error.stdout), ("errors", error.stderr)):
            text = said.decode(errors="replace") if isinstance(said, bytes) else said
            if text:
                report.sections.append((f"{name} of the command", text[-8000:]))
    return report
