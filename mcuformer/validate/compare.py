"""What `validate` says of each output, and of all of them in one line: the worst."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.package.outputs import Output
from mcuformer.validate.metrics import Agreement, agreement, percent, rmse, top1


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Real numbers [n, numbers] of one output: ours, and the float model's (None: not known)."""

    output: Output
    ours: NDArray
    floats: NDArray | None
    equal: bool  # to the interpreter's integers, in all samples that it ran

    @property
    def figures(self) -> Agreement | None:
        """Against the float model."""
        if self.floats is None:
            return None
        if self.output.gives_index:  # scores are not known: equal or not is all there is to say
            same = percent(np.all(self.ours == self.floats, axis=1))
            return Agreement(len(self.ours), None, None, rmse(self.floats, self.ours), same)
        return agreement(self.floats, self.ours, self.is_scores)

    @property
    def is_scores(self) -> bool:
        """A sample's output is one list of several numbers."""
        return self.ours.shape[1] > 1 and max(self.output.shape) == self.ours.shape[1]

    def classes(self, numbers: NDArray) -> NDArray[np.int64]:
        """What a sample is, of index or scores."""
        found = numbers[:, 0] if self.output.gives_index else top1(numbers)
        return np.asarray(found, np.int64)

    def tells_classes(self, labels: NDArray) -> bool:
        """Whether labels can be compared with it."""
        if self.output.gives_index:
            return self.ours.shape[1] == 1
        return self.is_scores and int(labels.max()) < self.ours.shape[1]

    def document(self) -> dict[str, Any]:
        figures = self.figures
        known = dict.fromkeys(("sqnr_db", "cosine", "rmse", "top1_percent"))
        if figures is not None:
            known |= {name: getattr(figures, name) for name in known}
        return {"name": self.output.name, "equal": self.equal, **known}


def worst(outputs: Sequence[Compared]) -> dict[str, Any] | None:
    """The least favourable figure of all outputs, each by itself; None without a float model."""
    figures = [f for f in (o.figures for o in outputs) if f is not None]
    if not figures:
        return None
    return dataclasses.asdict(
        Agreement(
            figures[0].samples,
            _least([f.sqnr_db for f in figures]),
            _least([f.cosine for f in figures]),
            max(f.rmse for f in figures),
            _least([f.top1_percent for f in figures]),
        )
    )


def accuracy(
    outputs: Sequence[Compared], labels: NDArray | None, missing: str, why: dict[str, str]
) -> dict[str, Any]:
    """Of the first output that tells classes; `missing`: why there are no labels."""
    result: dict[str, Any] = {"percent": None, "float_percent": None, "output": None}
    if labels is None:
        why["accuracy"] = missing
        return result
    chosen = next((o for o in outputs if o.tells_classes(labels)), None)
    if chosen is None:
        why["accuracy"] = "no output is an index or a list of scores with all labels in it"
        return result
    result["output"] = chosen.output.name
    result["percent"] = percent(chosen.classes(chosen.ours) == labels)
    if chosen.floats is not None:
        result["float_percent"] = percent(chosen.classes(chosen.floats) == labels)
    return result


def _least(numbers: Sequence[float | None]) -> float | None:
    known = [n for n in numbers if n is not None]
    return min(known, default=None)
