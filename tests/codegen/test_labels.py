from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packages import include_flags, kernels, package, run, small

from mcuformer.codegen.labels import c_string, labels_of

ABC = ("cat", "dog", "a, b")


@pytest.mark.parametrize(
    ("metadata", "count", "expected"),
    [
        ({"labels": '["cat", "dog", "a, b"]'}, 3, ABC),
        ({"id2label": '{"1": "dog", "0": "cat", "2": "a, b"}'}, 3, ABC),
        ({"names": "{0: 'cat', 2: 'a, b', 1: 'dog'}"}, 3, ABC),
        ({"mcuformer.Classes": "cat, dog"}, 2, ("cat", "dog")),
        ({"labels": "[3, 4]"}, 2, ("3", "4")),
        ({"labels": '["cat", "dog"]'}, 3, None),
        ({"labels": "{1: 'cat', 2: 'dog'}"}, 2, None),
        ({"labels": "[[1], 2]"}, 2, None),
        ({"labels": "[" * 100_000}, 3, None),
        ({"names": "one", "classes": "cat, dog"}, 2, ("cat", "dog")),
        ({"description": "cat, dog"}, 2, None),
    ],
)
def test_labels_in_all_spellings(
    metadata: dict[str, str], count: int, expected: tuple[str, ...] | None
) -> None:
    assert labels_of(metadata, count) == expected


@given(st.text(max_size=400))
def test_a_string_holds_its_label(text: str) -> None:
    """Read back as C reads it: octal escapes, nothing that ends the string or begins a trigraph."""
    literal = c_string(text)
    assert literal.isascii() and literal.isprintable() and "?" not in literal
    body = literal[1:-1]
    raw = bytearray()
    while body:
        if body[0] == "\\":
            raw.append(int(body[1:4], 8))
            body = body[4:]
        else:
            assert body[0] != '"'
            raw += body[0].encode()
            body = body[1:]
    whole = text.encode("utf-8", "replace")
    assert whole.startswith(bytes(raw)) and (len(whole) <= 200 or len(raw) >= 197)


def test_labels_in_the_package(tmp_path: Path) -> None:
    made = small(classes=3)
    props = {"labels": '["caf\\u00e9", "\\"*/", "dog"]'}
    graph = made.program.graph
    graph = graph.replace(meta={**graph.meta, "metadata_props": props})
    made = replace(made, program=replace(made.program, graph=graph))
    folder = package(made, tmp_path / "m", name="pets")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "pets.h"\n'
        "int main(void) { for (int i = 0; i < PETS_LABELS; i++) puts(pets_labels[i]); return 0; }\n"
    )
    sources = [folder / "model.c", folder / "weights.c", *kernels(folder)]
    run("gcc", *include_flags(folder), "main.c", *sources, "-o", "app", cwd=tmp_path)
    assert run(tmp_path / "app").split("\n")[:3] == ["café", '"*/', "dog"]
