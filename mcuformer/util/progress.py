"""What a long command says while it works."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """`stage` begins, or `done` of `total` steps of it are done."""

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None: ...
