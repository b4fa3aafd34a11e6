"""All kernels by name."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

KERNELS: dict[str, ModuleType] = {
    name: import_module(f"mcuformer.kernels.{name}")
    for name in ("linear", "layernorm", "attention", "conv", "maxpool", "elementwise")
}
