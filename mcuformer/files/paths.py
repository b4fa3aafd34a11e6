"""Where the package's own data lies: the same folders in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOT = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent

RUNTIME_C = _ROOT / "runtime_c"
TEMPLATES = _ROOT / "templates"
BOARDS = _ROOT / "boards"
