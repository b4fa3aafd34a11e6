"""What networks of all families have: an image that becomes tokens by a patch or a chain of convolutions."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from mcuformer.errors import UsageError

_BODY = re.compile(r"[1-9]\d{0,3}(/[123])?(-[1-9]\d{0,3}(/[123])?)*")
PATCH = "patch"  # the stem that is one convolution of patch x patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """`image` is (height, width, channels); `family` names a row of `families.py`.

    `stem` is "patch" or a chain of 3x3 convolutions with batch normalisation, `width[/stride]` joined
    by "-": "24-64/2-64". One more convolution makes `width` channels and brings the stride to `patch`.
    """

    family: str
    image: tuple[int, int, int]
    classes: int
    stem: str
    patch: int

    @property
    def width(self) -> int:
        """Channels of a token behind the stem."""
        raise NotImplementedError

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens; what a patch lacks at the right and below is padded."""
        return -(-self.image[0] // self.patch), -(-self.image[1] // self.patch)

    @property
    def padding(self) -> tuple[int, int]:
        """Lines below and columns at the right that fill the last patches."""
        down, across = self.grid
        return down * self.patch - self.image[0], across * self.patch - self.image[1]

    @property
    def convolutions(self) -> tuple[tuple[int, int], ...]:
        """(channels, stride) of every 3x3 convolution of the stem; none for "patch"."""
        if self.stem == PATCH:
            return ()
        body = stem_body(self.stem)
        return (*body, (self.width, last_stride(self.stem, self.patch)))

    @property
    def stem_parameters(self) -> int:
        """Trainable numbers of the stem."""
        e = self.width
        total = e * (self.patch**2 * self.image[2] + 1) if self.stem == PATCH else 0
        before = self.image[2]
        for width, _ in self.convolutions:
            total += width * (9 * before + 2)  # no bias: the norm's offset is one
            before = width
        return total

    @property
    def parameters(self) -> int:
        """Trainable numbers of the network."""
        raise NotImplementedError

    @property
    def brief(self) -> str:
        """Width, blocks and patch, for tables."""
        raise NotImplementedError

    def lines(self) -> list[str]:
        """What `search` prints of it."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `families.arch_of` reads it."""
        raise NotImplementedError

    def key(self) -> str:
        """A short name that is equal for equal networks only."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def stem_body(stem: str) -> tuple[tuple[int, int], ...]:
    """(channels, stride) of the convolutions that "24-64/2" names."""
    found = _BODY.fullmatch(stem)
    if not found:
        raise UsageError(
            f"no stem {stem}", "patch, or widths of 3x3 convolutions with strides: 24-64/2-64"
        )
    pairs = (part.partition("/") for part in stem.split("-"))
    return tuple((int(width), int(stride or 1)) for width, _, stride in pairs)


def last_stride(stem: str, patch: int) -> int:
    """Stride of the convolution behind the body, so that all of them together make `patch`."""
    body = math.prod(stride for _, stride in stem_body(stem))
    if patch % body or patch // body > 3:
        raise UsageError(
            f"stem {stem} strides by {body}, which gives no patch of {patch}",
            f"patch {body}, {2 * body} or {3 * body} goes with it",
        )
    return patch // body
