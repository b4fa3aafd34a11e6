"""Pins as data sheets write them."""

from __future__ import annotations

import re


def pin(text: str) -> tuple[int, int]:
    """'PB7' -> (1, 7): port index and bit. ValueError when it is no pin."""
    match = re.fullmatch(r"P([A-K])(\d{1,2})", text)
    if not match or int(match[2]) > 15:
        raise ValueError(f"'{text}' is no pin such as PA9")
    return ord(match[1]) - ord("A"), int(match[2])


def pin_function(text: str) -> tuple[int, int, int]:
    """'PB2/9' -> (1, 2, 9): port, bit, alternate function."""
    name, _, function = text.partition("/")
    if not function.isdigit() or int(function) > 15:
        raise ValueError(f"'{text}' is no pin with its alternate function such as PB2/9")
    return (*pin(name), int(function))
