"""The Optuna storage that --storage names: whether it can be used, asked before the training."""

from __future__ import annotations

import optuna

from mcuformer.errors import UsageError
from mcuformer.names import printable


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
