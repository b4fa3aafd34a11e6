"""Protocols of training: names for what happens to a batch before a step.

`baseline` and `modern` are those of Toledo and Martinez (arXiv 2605.16390); `cutmix` is the baseline with CutMix,
which costs nothing and suits small images. `baseline+cutmix+autoaugment` adds parts to one, `modern-mixup`
takes parts away: what each part does can be told apart so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from mcuformer.errors import UsageError

PROTOCOL_PARTS = ("geometry", "autoaugment", "cutmix", "mixup")
PROTOCOLS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "none": frozenset[str](),
        "baseline": frozenset({"geometry"}),
        "cutmix": frozenset({"geometry", "cutmix"}),
        "modern": frozenset({"geometry", "autoaugment", "cutmix", "mixup"}),
    }
)


def parts_of(protocol: str) -> frozenset[str]:
    """What `protocol` consists of, of PROTOCOL_PARTS.

    Raises UsageError for a name that is neither a preset nor one with `+PART` or `-PART` behind it.
    """
    found = re.fullmatch(r"(\w+)((?:[+-]\w+)*)", protocol)
    changes = re.findall(r"([+-])(\w+)", found[2]) if found else []
    if (
        not found
        or found[1] not in PROTOCOLS
        or any(part not in PROTOCOL_PARTS for _, part in changes)
    ):
        raise UsageError(
            f"{protocol!r} is no protocol of training",
            f"give {', '.join(PROTOCOLS)}, or one of these with parts added or taken away, "
            f"as in baseline+cutmix or modern-mixup; parts are {', '.join(PROTOCOL_PARTS)}",
        )
    parts = PROTOCOLS[found[1]]
    for sign, part in changes:
        parts = parts | {part} if sign == "+" else parts - {part}
    return parts


def checked_protocol(protocol: str) -> str:
    """`protocol` as it is; UsageError as of `parts_of`."""
    parts_of(protocol)
    return protocol
