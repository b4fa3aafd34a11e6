"""The child of coverage.py in another environment: builds models of the list and exports them to ONNX.

    PATH coverage_export.py FOLDER SECONDS EXPORTER NAME...

Writes FOLDER/NAME.onnx, or why it could not to FOLDER/NAME.txt. A process of its own for each model,
with a time limit; prints a line of JSON for each: {"name", "seconds", "error"}, before them the versions.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
import warnings
from importlib import import_module, metadata
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from coverage_list import Model, models

SEED = 20240229
MOST_WORDS = 300
PRELOADED = {
    "timm": "timm", "torchvision": "torchvision",
    "transformers": "transformers.models.vit.modeling_vit",
}  # fmt: skip
LEAST_SCALE = 1e-2  # constants under it are an initialisation from which training would depart


def main() -> int:
    folder, seconds, exporter, *names = sys.argv[1:]
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    packages = ("torch", "timm", "torchvision", "transformers", "onnx", "onnxscript")
    print(json.dumps({p: metadata.version(p) for p in packages}), flush=True)
    listed = {model.name: model for model in models()}
    for source in dict.fromkeys(listed[name].source for name in names):
        import_module(PRELOADED[source])  # once, before the forks
    for name in names:
        start = time.monotonic()
        error = forked(listed[name], exporter, Path(folder), float(seconds))
        row = {"name": name, "seconds": round(time.monotonic() - start, 1), "error": error}
        print(json.dumps(row), flush=True)
    return 0


def forked(model: Model, exporter: str, folder: Path, seconds: float) -> str | None:
    """None, or the last line of what went wrong."""
    text = folder / f"{model.name}.txt"
    pid = os.fork()
    if pid == 0:
        os._exit(exported(model, exporter, folder, text))
    until = time.monotonic() + seconds
    status = None
    while time.monotonic() < until and status is None:
        found, code = os.waitpid(pid, os.WNOHANG)
        status = code if found else None
        time.sleep(0.02)
    if status is None:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        text.write_text(f"not exported after {seconds:g} s\n", encoding="utf-8")
    elif status and not text.exists():
        text.write_text(f"the exporter died with status {status}\n", encoding="utf-8")
    return text.read_text(encoding="utf-8").strip().splitlines()[-1] if text.exists() else None


def exported(model: Model, exporter: str, folder: Path, text: Path) -> int:
    """The exit status of the model's process; the exporters' own words go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        write(model, exporter, folder / f"{model.name}.onnx")
    except BaseException as error:  # noqa: BLE001, of a package that is not ours: whatever it is, it is a row
        text.write_text(f"{traceback.format_exc()}\n{reason(error)}\n", encoding="utf-8")
        return 1
    return 0


def reason(error: BaseException) -> str:
    """One line of what came first: exporters wrap it in advice and colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())
    return f"{type(error).__name__}: {words[:MOST_WORDS]}"


def write(model: Model, exporter: str, path: Path) -> None:
    torch.manual_seed(SEED)
    net = drawn(built(model), model.input)
    part = path.with_suffix(".part")
    x = samples(1, model.input)
    names = {"input_names": ["x"], "opset_version": 17} if exporter == "torchscript" else {}
    if exporter == "torchscript":
        torch.onnx.export(net, (x,), str(part), dynamo=False, **names)
    else:
        torch.onnx.export(net, (x,), str(part), dynamo=True, external_data=False)
    part.replace(path)


def built(model: Model) -> torch.nn.Module:
    """As its package makes it, for evaluation."""
    kwargs = {k: value(model.source, v) for k, v in model.kwargs.items()}
    if model.source == "transformers":
        return of_transformers(model, kwargs).eval()
    args = [value(model.source, v) for v in model.args]
    if model.source == "torchvision":
        return named("torchvision.models", model.make)(*args, **kwargs).eval()
    if model.exportable:
        import_module("timm.layers").set_exportable(True)
    if ":" in model.make:
        return named("timm.models", model.make)(*args, **kwargs, num_classes=10).eval()
    return import_module("timm").create_model(model.make, num_classes=10, **kwargs).eval()


def named(package: str, path: str) -> Any:
    module, name = path.split(":")
    return attrgetter(name)(import_module(f"{package}.{module}"))


def value(source: str, v: Any) -> Any:
    """What a value of the list stands for: lists and {call, args, with} within each other."""
    if isinstance(v, list):
        return [value(source, item) for item in v]
    if not isinstance(v, dict):
        return v
    if v["call"] == "none":
        return None
    found = named(f"{source}.models", v["call"])
    if not v.keys() & {"args", "with"}:
        return found
    return found(*value(source, v.get("args", [])), **v.get("with", {}))


def of_transformers(model: Model, kwargs: dict[str, Any]) -> torch.nn.Module:
    """A model, or a layer of one, that takes one tensor and gives its tensors in a tuple."""
    package = import_module("transformers")
    if model.config:
        config = getattr(package, model.config)(**kwargs)
        config._attn_implementation = "eager"
        return Plain(named("transformers", model.make)(config), {"attention_mask": None})
    made = getattr(package, model.make)
    labels = {"num_labels": 10} if "For" in model.make else {}
    return Plain(made(made.config_class(**kwargs, **labels)), {}, model.feed)


class Plain(torch.nn.Module):
    """Tensors in, tensors out: caches, hidden states and names are left out."""

    def __init__(self, model: torch.nn.Module, others: dict[str, Any], feed: str = "") -> None:
        super().__init__()
        self.model, self.others, self.feed = model, others, feed

    def forward(self, x: torch.Tensor) -> Any:
        first = () if self.feed else (x,)
        named = {self.feed: x} if self.feed else {}
        y = self.model(*first, **named, **self.others)
        if isinstance(y, torch.Tensor):
            return y
        values = y.values() if hasattr(y, "values") else y
        return tuple(v for v in values if isinstance(v, torch.Tensor))


def samples(count: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(count, *shape)


@torch.no_grad()
def drawn(net: torch.nn.Module, shape: tuple[int, ...]) -> torch.nn.Module:
    """Weights as a training might leave them: no layer that a zero or a tiny scale turns off.

    Matrices keep variance 1/inputs, BatchNorm knows the statistics of what it sees.
    """
    for name, p in net.named_parameters():
        if p.numel() and p.is_floating_point():
            redraw(p, name)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    if norms:
        net(samples(8, shape))
    return net.eval()


def redraw(p: torch.Tensor, name: str) -> None:
    constant = bool(p.min() == p.max())
    first = float(p.reshape(-1)[0])
    matrix = p.ndim >= 2 and p.shape[0] > 1 and name.endswith("weight")
    if matrix and not constant:
        p.normal_(0, (p.numel() / p.shape[0]) ** -0.5)
    elif constant and abs(first) < LEAST_SCALE:
        scale = name.endswith(("gamma", "weight", "lambda1")) or first != 0
        p.uniform_(0.2, 0.6) if scale else p.normal_(0, 0.1)
    elif constant:
        p.mul_(torch.empty_like(p).uniform_(0.7, 1.3))


if __name__ == "__main__":
    sys.exit(main())
