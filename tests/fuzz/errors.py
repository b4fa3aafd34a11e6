"""What the fuzzer itself raises."""

from __future__ import annotations


class Mismatch(Exception):
    """The chain ran, and two of its links disagree."""
