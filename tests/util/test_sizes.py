"""mcuformer/util/sizes.py."""

from __future__ import annotations

import pytest

from mcuformer.errors import UsageError
from mcuformer.util.sizes import parse_count, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("320k", 327_680),
        ("320KiB", 327_680),
        ("320 KB", 327_680),
        ("0x50000", 327_680),
        ("327,680", 327_680),
        ("1M", 2**20),
        ("1.5k", 1536),
        ("0", 0),
        ("16MiB", 2**24),
    ],
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_count() -> None:
    assert parse_count("1.1G") == 1_100_000_000
    assert parse_count("40M") == 40_000_000


@pytest.mark.parametrize("text", ["", "k", "-1", "1e9", "1.3", "12q", "0x", "NaN", "9" * 50])
def test_nonsense(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)
