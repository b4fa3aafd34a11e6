"""Which values of a parametrised test only `make test-long` takes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def few(values: Iterable[object], *short: object) -> list[object]:
    """All values; those not in `short` are marked long."""
    return [v if v in short else pytest.param(v, marks=pytest.mark.long) for v in values]
