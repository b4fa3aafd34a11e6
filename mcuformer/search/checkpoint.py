"""What training leaves on disk: a last.pt after every epoch, whole or not at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mcuformer.errors import UsageError
from mcuformer.files.atomic import atomic_file
from mcuformer.files.kept import making_sense_of

AGAIN = "train again without it, or copy it again"
_FIELDS = frozenset({"recipe", "finished", "losses", "model", "average", "optimizers"})


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The table that a Trainer saved. UsageError where there is none, or it is cut off or of something else."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist", "training writes a last.pt after every epoch")
    state = read_saved(path, device)
    if not isinstance(state, dict) or not set(state) >= _FIELDS:
        raise UsageError(f"{path} is no checkpoint of a training")
    return state


def read_saved(path: Path, device: torch.device | str = "cpu") -> Any:
    """What `save_atomically` wrote; UsageError where it is cut off, or of something else."""
    content = io.BytesIO(path.read_bytes())  # what is wrong with the disk is another message
    with making_sense_of(path, AGAIN, "damaged, or no checkpoint"):
        return torch.load(content, map_location=device, weights_only=True)


def load_finished(model: nn.Module, path: Path) -> dict[str, Any]:
    """The final weights of the training that left `path` go into `model`; its recipe."""
    state = read_checkpoint(path)
    recipe: dict[str, Any] = state["recipe"]
    if state["finished"] < recipe["epochs"]:
        done = f"{state['finished']} of {recipe['epochs']} epochs"
        raise UsageError(f"{path} is not trained to its end: {done}", "let that training finish")
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise UsageError(f"{path} is of another network: {first}") from error
    return recipe


def followed(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What the moving average follows: weights, and the statistics of batch norms."""
    yield from model.named_parameters()
    yield from ((n, b) for n, b in model.named_buffers() if "running" in n)


def save_atomically(state: Any, path: Path) -> None:
    """Whole or not at all, also when the process is killed."""
    buffer = io.BytesIO()  # torch hides what the system says of a full disk
    torch.save(state, buffer)
    with atomic_file(path) as part:
        part.write_bytes(buffer.getbuffer())


def weights_sha256(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, t in sorted(model.state_dict().items()):
        digest.update(name.encode() + t.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
