"""mcuformer/util/names.py: hostile names from a model."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mcuformer.util.names import c_comment, c_identifier, counted, printable, unique_identifiers


@given(st.text(alphabet=st.characters(), max_size=200))
def test_identifier_is_always_safe(text: str) -> None:
    name = c_identifier(text)
    assert re.fullmatch(r"[A-Za-z][0-9A-Za-z]*(_[0-9A-Za-z]+)*", name) and len(name) <= 42


def test_identifier_examples() -> None:
    assert c_identifier("vit-cifar10.p4") == "vit_cifar10_p4"
    assert c_identifier("4bit") == "m_4bit"
    assert c_identifier("int") == "m_int"
    assert c_identifier('"; rm -rf / #') == "rm_rf"
    assert c_identifier("") == "m"
    assert c_identifier("a" * 10_000) != c_identifier("a" * 10_001)


def test_unique() -> None:
    assert unique_identifiers(["a b", "a.b", "a_b", "c"]) == ["a_b", "a_b_2", "a_b_3", "c"]


@given(st.text(max_size=300))
def test_comment_cannot_be_left(text: str) -> None:
    shown = c_comment(text)
    assert "*/" not in shown and "/*" not in shown and "\\" not in shown and "??" not in shown
    assert "\n" not in shown and shown.isascii() and len(shown) <= 80


def test_printable_escapes_a_terminal() -> None:
    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert len(printable("x" * 10_000)) <= 120


def test_one_of_something_is_not_several() -> None:
    assert [counted(n, "head") for n in (0, 1, 2, 1200)] == [
        "0 heads",
        "1 head",
        "2 heads",
        "1,200 heads",
    ]
