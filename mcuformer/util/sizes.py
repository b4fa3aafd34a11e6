"""Sizes, counts and lists of numbers as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mcuformer.errors import UsageError

_BINARY: Mapping[str, int] = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_DECIMAL: Mapping[str, int] = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def parse_size(text: str) -> int:
    """Bytes: 320k, 320KiB, 320KB, 0x50000, 327680 (k = 1024 always)."""
    return _parse(text, _BINARY, r"(?:i?b)?", "a size such as 320k, 320KiB or 0x50000")


def parse_count(text: str) -> int:
    """A count: 40M, 1.1G, 5000000 (k = 1000)."""
    return _parse(text, _DECIMAL, "", "a count such as 40M, 1.1G or 5000000")


def parse_floats(text: str) -> tuple[float, ...]:
    """'0.5', '0.4914,0.4822,0.4465' or, as Python prints it, '[0.4914, 0.4822, 0.4465]'."""
    parts = re.split(r"\s*,\s*|\s+", text.strip().strip("[]()").strip())
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        values = ()
    if not values:
        raise UsageError(f"'{text[:60]}' is not a list of numbers such as 0.49,0.48,0.45")
    if not all(abs(v) < 1e6 for v in values):
        raise UsageError(f"'{text[:60]}' holds NaN, infinity or a number beyond a million")
    return values


def _parse(text: str, units: Mapping[str, int], unit_tail: str, wanted: str) -> int:
    plain = text.strip().lower().replace("_", "").replace(",", "")
    if re.fullmatch(r"0x[0-9a-f]{1,16}", plain):
        return int(plain, 16)
    match = re.fullmatch(rf"(\d{{1,15}}(?:\.\d{{1,9}})?)\s*([kmg]?){unit_tail}", plain)
    if not match:
        raise UsageError(f"'{text[:60]}' is not {wanted}")
    value = float(match[1]) * units[match[2]]
    if value != int(value):
        raise UsageError(f"'{text[:60]}' is not a whole number")
    return int(value)
