"""Three figures of attention probabilities: distance, entropy, mass within a radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.locality.positions import Places


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Of an attention: `asks` [windows, queries] and `answers` [windows, keys] say which rows are
    patches, `distances` [windows, queries, keys] over the diagonal of the grid, `radii` in patches."""

    asks: NDArray[np.bool_]
    answers: NDArray[np.bool_]
    distances: NDArray[np.float64]
    radii: NDArray[np.int64]

    @staticmethod
    def of(queries: Places, keys: Places) -> Geometry:
        """`queries`, `keys`: [windows, rows, 2]. The grid is that of the queries, or a finer one of keys."""
        steps = np.maximum(_patches(queries), _patches(keys))  # lines, columns
        apart = np.abs(queries[:, :, None] - keys[:, None]) * steps
        apart = np.nan_to_num(apart)
        diagonal = max(float(np.hypot(*(steps - 1))), 1e-9)
        return Geometry(
            ~np.isnan(queries[..., 0]),
            ~np.isnan(keys[..., 0]),
            np.hypot(apart[..., 0], apart[..., 1]) / diagonal,
            np.ceil(apart.max(axis=-1) - 1e-6).astype(np.int64),
        )

    @property
    def is_of_patches(self) -> bool:
        """Whether there are patches that may look at others."""
        return bool(self.asks.any() and (self.answers.sum(axis=1) > 1).any())


def _patches(places: Places) -> NDArray[np.int64]:
    """Lines and columns of the grid that the patches stand on."""
    flat = places.reshape(-1, 2)
    flat = flat[~np.isnan(flat[:, 0])]
    return np.asarray([max(1, len(np.unique(flat[:, i].round(9)))) for i in (0, 1)], np.int64)


class HeadSums:
    """Sums over samples, windows and queries, one number per head; `rows` queries went in."""

    def __init__(self, geometry: Geometry, heads: int) -> None:
        self.geometry = geometry
        self.rows, self.distance, self.entropy = (np.zeros(heads) for _ in range(3))
        self.mass = np.zeros((heads, int(geometry.radii.max()) + 1))

    def add(self, p: NDArray) -> None:
        """Probabilities [samples, windows, heads, queries, keys]; what is no patch is dropped and the
        rows renormalised; a row that looks at no patch does not count."""
        g = self.geometry
        a = p * g.answers[:, None, None]
        total = a.sum(axis=-1, keepdims=True, dtype=np.float64)
        looks = (total[..., 0] > 0) & g.asks[:, None]
        a = np.where(looks[..., None], a / np.where(total > 0, total, 1), 0)
        self.rows += looks.sum(axis=(0, 1, 3))
        of_pairs = a.sum(axis=0)  # [windows, heads, queries, keys]
        self.distance += np.einsum("whqk,wqk->h", of_pairs, g.distances)
        counts = np.maximum(g.answers.sum(axis=1), 2)[:, None, None]
        self.entropy += (entropies(a) / np.log(counts)).sum(axis=(0, 1, 3))
        for radius in range(self.mass.shape[1]):
            self.mass[:, radius] += np.einsum("whqk,wqk->h", of_pairs, g.radii <= radius)

    def heads(self) -> list[dict[str, float | list[float]]]:
        """Per head `distance` (diagonal 1), `entropy` (uniform 1), `mass[r]` within radius r."""
        n = np.maximum(self.rows, 1)
        return [
            {
                "distance": round(float(self.distance[h] / n[h]), 5),
                "entropy": round(float(self.entropy[h] / n[h]), 5),
                "mass": [round(float(m), 5) for m in self.mass[h] / n[h]],
            }
            for h in range(len(n))
        ]


def entropies(a: NDArray) -> NDArray[np.float64]:
    """In nats, of rows [..., keys] that sum to 1."""
    return np.asarray(-(a * np.log(np.where(a > 0, a, 1))).sum(axis=-1, dtype=np.float64))
