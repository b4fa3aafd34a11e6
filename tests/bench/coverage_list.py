"""The list of coverage_models.toml: read by coverage.py, and by the child that exports; needs no package."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "coverage_models.toml"
EXPORTERS = ("torchscript", "dynamo")
SOURCES = ("timm", "transformers", "torchvision")


@dataclass(frozen=True)
class Model:
    """One entry of the list. `input`: the shape of a sample, without the batch axis."""

    source: str
    family: str
    name: str
    make: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    input: tuple[int, ...] = (3, 64, 64)
    feed: str = ""  # transformers: the name of forward's argument
    exportable: bool = False
    config: str = ""  # transformers: the config's class, where `make` is no whole model


def models() -> list[Model]:
    """In the order of the file."""
    content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return [
        _model(source, family, entry)
        for source in SOURCES
        for family, entries in content[source].items()
        for entry in entries
    ]


def versions() -> dict[str, str]:
    """Package -> the version that the committed table was made with."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))["versions"]


def _model(source: str, family: str, entry: Mapping[str, Any]) -> Model:
    return Model(
        source, family, entry["name"], entry["make"], tuple(entry.get("args", ())),
        entry.get("with", {}), tuple(entry.get("input", (3, 64, 64))), entry.get("feed", ""),
        entry.get("exportable", False), entry.get("config", ""),
    )  # fmt: skip
