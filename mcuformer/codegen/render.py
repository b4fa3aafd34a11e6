"""Templates are punctuation: StrictUndefined, trimmed blocks, no logic beyond loops."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2

from mcuformer.files.paths import TEMPLATES


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, **fields: Any) -> str:
    return environment().get_template(template).render(**fields)
