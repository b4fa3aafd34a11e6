"""The Optuna storage that --storage names: whether it can be used, asked before the training."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna

from mcuformer.errors import UsageError
from mcuformer.files.kept import making_sense_of
from mcuformer.search.settings import REMOVE
from mcuformer.util.names import printable

_FILE, _PATIENCE_S = "sqlite:///", 60


def check_storage(url: str) -> None:
    """UsageError where no study can be kept there. Its tables are made where they are missing."""
    try:
        optuna.storages.get_storage(url)
    except Exception as error:  # of any driver
        cause = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"--storage {printable(url)}: {printable(cause[0], 200)}",
            "it is a URL such as sqlite:////home/me/search.db or postgresql+psycopg://me@host/search",
        ) from error


def check_local(url: str) -> None:
    """UsageError where a file of SQLite is cut off or overwritten; its own words come late and long."""
    path = Path(url.removeprefix(_FILE))
    if not url.startswith(_FILE) or not path.is_file():
        return
    with (
        making_sense_of(path, REMOVE),
        closing(sqlite3.connect(path, timeout=_PATIENCE_S)) as database,
    ):
        (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise ValueError(found)
