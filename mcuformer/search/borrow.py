"""The trained supernet of another search: no limit enters it, so searches under other limits share one."""

from __future__ import annotations

from pathlib import Path

from mcuformer.errors import UsageError
from mcuformer.search.checkpoint import load_finished
from mcuformer.search.data import Data
from mcuformer.search.settings import Settings, read_settings
from mcuformer.search.shared import SharedWeights
from mcuformer.search.space import load_space


def borrow(model: SharedWeights, other: Path, settings: Settings, data: Data) -> None:
    """The weights of the search in `other` go into `model`, where both ask the same question: another
    split of the data would have shown them the images that candidates are judged by."""
    its = read_settings(other)
    space = load_space(its.space).sized(data.image, len(data.classes))
    for what, same in (
        ("space", (space.family, space.choices) == (model.space.family, model.space.choices)),
        ("data", its.data == settings.data),
        ("seed", its.seed == settings.seed),
    ):
        if not same:
            raise UsageError(
                f"the supernet in {other} is of another {what}", "search without --supernet"
            )
    path = other / "supernet" / "last.pt"
    if not path.is_file():
        raise UsageError(f"{other} has no trained supernet", f"mcuformer search --resume {other}")
    load_finished(model, path)
