"""Pins as data sheets write them."""

import pytest

from mcuformer.targets.pins import pin, pin_function


def test_a_pin_is_a_port_and_a_bit():
    assert pin("PA0") == (0, 0) and pin("PB7") == (1, 7) and pin("PK15") == (10, 15)


@pytest.mark.parametrize("text", ["", "B7", "PB", "PL1", "PB16", "pb7", "PB7 "])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="no pin such as PA9"):
        pin(text)


def test_a_function_follows_the_pin():
    assert pin_function("PB2/9") == (1, 2, 9)
    for text in ("PB2", "PB2/", "PB2/16", "PB2/x"):
        with pytest.raises(ValueError, match="alternate function"):
            pin_function(text)
