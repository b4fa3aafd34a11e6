"""What training leaves on disk: a last.pt after every epoch, whole or not at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mcuformer.errors import UsageError
from mcuformer.files.atomic import atomic_file
from mcuformer.files.kept import making_sense_of

AGAIN = "train again without it, or copy it again"
_OTHER = "choose another folder, or give what that one was given"
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
    load_weights(model, state, path)
    return recipe


def load_weights(model: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    """The weights of `state`, read from `path`, go into `model`; UsageError where they do not fit."""
    try:
        model.load_state_dict(state["model"])
    except (RuntimeError, TypeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise UsageError(f"{path} is of another network: {first}", _OTHER) from error


def begun(
    model: nn.Module, path: Path, device: torch.device, recipe: Mapping[str, Any],
    about: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The table of a training that goes on, its weights in `model`. UsageError where it was begun with
    another recipe, or with other things that `about` names: they would be said of these weights.
    Older checkpoints do not say."""
    state = read_checkpoint(path, device)
    for what, asked in (("recipe", recipe), ("training", about)):
        kept = state.get(what, asked)
        if kept != asked:
            known = kept if isinstance(kept, dict) else {}
            other = sorted(n for n in {*known, *asked} if known.get(n) != asked.get(n))
            raise UsageError(f"{path} is of another {what} ({', '.join(other)})", _OTHER)
    load_weights(model, state, path)
    return state


def followed(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What the moving average follows: weights, and the statistics of batch norms."""
    yield from model.named_parameters()
    yield from ((n, b) for n, b in model.named_buffers() if "running" in n)


@torch.no_grad()
def finite(model: nn.Module) -> bool:
    """Whether no weight is NaN, infinite, or so large that their squares are."""
    norms = [p.float().norm() for p in model.parameters()]
    return bool(torch.stack(norms).isfinite().all())


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
