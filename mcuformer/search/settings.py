"""What was asked of a search; kept in its directory for `--resume`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from mcuformer.errors import UsageError
from mcuformer.files.atomic import atomic_file
from mcuformer.files.kept import read_json

SETTINGS = "settings.json"
REMOVE = "remove it: search --resume makes it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that decides the result, and whether a study of it is wanted."""

    ram: int | None
    flash: int | None = None
    max_instructions: int | None = None
    board: str = "stm32f746"
    space: str = "tiny"
    data: str = "digits"
    budget: str = "normal"
    protocol: str = "baseline"
    objectives: tuple[str, ...] = ("accuracy",)
    input_mode: str = "bands"
    optimize: str = "balanced"
    seed: int = 0
    threads: int = 2
    amp: bool = False
    supernet_epochs: int | None = None
    finetune_epochs: int | None = None
    candidates: int | None = None
    refit: bool = False
    storage: str | None = None
    teacher: str | None = None
    supernet: str | None = None
    qat: bool = False
    study: bool = False


def save_settings(settings: Settings, directory: Path) -> None:
    """Into a new directory; an old one must be of the same search (a study may come later)."""
    path = directory / SETTINGS
    if path.exists() and replace(read_settings(directory), study=settings.study) != settings:
        raise UsageError(
            f"{directory} holds another search", f"--resume {directory} continues it; or another -o"
        )
    directory.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as part:
        part.write_text(json.dumps(asdict(settings), indent=1))


def read_settings(directory: Path) -> Settings:
    path = directory / SETTINGS
    if not path.is_file():
        raise UsageError(f"{directory} holds no search", "start one with -o")
    return read_json(
        path, _settings, "start one with another -o", "not of a search of this version"
    )


def _settings(table: dict[str, Any]) -> Settings:
    kinds = get_type_hints(Settings) | {"objectives": list}
    if wrong := [n for n, v in table.items() if not isinstance(v, kinds[n])]:
        raise ValueError(f"{wrong[0]} is {table[wrong[0]]!r}")
    return Settings(**{**table, "objectives": tuple(table["objectives"])})
