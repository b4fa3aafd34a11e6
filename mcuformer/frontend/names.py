"""Readable, harmless names: nothing out of a file reaches C, a path or a terminal raw."""

from __future__ import annotations

import re

MAX_NAME = 80
_ODD = re.compile(r"[^A-Za-z0-9_.]+")
_ODD_ORIGIN = re.compile(r"[^A-Za-z0-9_./:\-]+")


def plain(name: str) -> str:
    """Letters, digits, "_" and "." only; at most MAX_NAME characters, the end kept."""
    clean = _ODD.sub("_", name[-4 * MAX_NAME :]).strip("._")
    return clean[-MAX_NAME:].strip("._")


def origin(name: str) -> str:
    """An ONNX node name for reports and comments: odd characters replaced, length bounded."""
    clean = _ODD_ORIGIN.sub("_", name[:200])
    return clean.replace("//", "/").replace("*/", "_")


def shown(name: str) -> str:
    """An ONNX name inside an error message: printable, quoted, at most about 80 characters."""
    short = name if len(name) <= MAX_NAME else name[: MAX_NAME - 20] + "..." + name[-15:]
    return repr(short)


def module_of_path(node_name: str) -> str:
    """TorchScript exporter: "/blocks/blocks.0/attn/qkv/MatMul" -> "blocks.0.attn.qkv"."""
    parts: list[str] = []
    for part in node_name[1:400].split("/")[:-1]:
        if parts and part.startswith(parts[-1] + "."):
            parts[-1] = part
        else:
            parts.append(part)
    return plain(".".join(parts))


def module_of_scopes(scopes: str) -> str:
    """Dynamo exporter: "['', 'blocks.0', 'blocks.0.norm1', 'layer_norm']" -> "blocks.0.norm1"."""
    parts = re.findall(r"'([^']*)'", scopes[:4000])
    return plain(parts[-2]) if len(parts) >= 2 else ""


def module_of_weight(weight_name: str) -> str:
    """An initialiser "blocks.0.norm1.weight" -> "blocks.0.norm1"."""
    derived = weight_name.startswith("/") or "::" in weight_name[:400]  # folded from other nodes
    if derived or "." not in weight_name[:400]:
        return ""
    return plain(weight_name[:400].rpartition(".")[0])
