"""Options of the whole test run."""

from __future__ import annotations

import gc

import pytest


def pytest_configure() -> None:
    """As the command does: tests compile in their own process, and look for cycles as seldom."""
    gc.set_threshold(50_000, 20, 50)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/files anew (make golden)"
    )
