"""Templates are punctuation: StrictUndefined, trimmed blocks, no logic beyond loops and where lines break."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2

from mcuformer.codegen import lines
from mcuformer.files.paths import TEMPLATES


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    for rule in (
        lines.call,
        lines.comment,
        lines.define,
        lines.element,
        lines.note,
        lines.returned,
    ):
        made.globals[rule.__name__] = rule
    return made


def render(template: str, **fields: Any) -> str:
    return environment().get_template(template).render(**fields)
