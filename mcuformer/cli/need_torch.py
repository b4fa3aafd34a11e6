"""The search commands need an extra that compile does not."""

from __future__ import annotations

import importlib.util

from mcuformer.errors import ToolMissingError

MODULES = ("torch", "optuna", "sklearn")


def need_torch() -> None:
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise ToolMissingError(
            f"search needs {', '.join(missing)}",
            "pip install 'mcuformer[search]' torch==2.13.0 (unpinned torch is gigabytes of CUDA)",
        )
