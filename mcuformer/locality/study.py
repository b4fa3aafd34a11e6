"""`study`: the figures of all heads of a model over real samples, as one document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.quantise import measured, quantised
from mcuformer.compile.source import read_source
from mcuformer.errors import UnsupportedModelError, UsageError
from mcuformer.frontend.load import imported
from mcuformer.inputs.codec import InputCodec
from mcuformer.inputs.dataset import load_dataset
from mcuformer.ir.graph import Graph
from mcuformer.locality.head_sums import Geometry, HeadSums
from mcuformer.locality.positions import Places, positions
from mcuformer.locality.sites import Site, places, sites
from mcuformer.locality.weights import of_float, of_int

if TYPE_CHECKING:
    from mcuformer.util.progress import Progress

_CHUNK_NUMBERS = 1 << 24  # of all probabilities that are held at once
_WHY = "its rows are no patches, or one row asks"


class LayerSums:
    """One attention: its sums in both graphs, or none where its rows stand nowhere; `maps`: how much
    the chosen image's patches are looked at, [heads][lines][columns]."""

    def __init__(self, graph: Graph, site: Site, known: Mapping[str, Places]) -> None:
        self.site = site
        self.maps: list[list[list[float]]] = []
        self.places = places(graph, site, known)
        self.sums: tuple[HeadSums, ...] = ()
        if self.places is not None:
            geometry = Geometry.of(*self.places)
            if geometry.is_of_patches:
                self.sums = tuple(HeadSums(geometry, site.heads) for _ in range(2))

    def document(self) -> dict[str, Any]:
        heads = [s.heads() if s.rows.any() else [] for s in self.sums] or [[], []]
        return {
            "layer": self.site.name,
            "windows": self.site.windows,
            "heads": heads[0],
            "int_heads": heads[1],
            "maps": self.maps,
            "why": None if heads[0] else _WHY,
        }

    def add(self, p: NDArray, graph: int) -> None:
        if self.sums:
            self.sums[graph].add(p)

    def show(self, p: NDArray) -> None:
        """Probabilities [1, windows, heads, queries, keys] of the chosen image."""
        if self.places is None or not self.sums:
            return
        asks, at = self.sums[0].geometry.asks, self.places[1].reshape(-1, 2)
        seen = (p[0] * asks[:, None, :, None]).sum(axis=2)  # [windows, heads, keys]
        self.maps = _maps(np.moveaxis(seen, 1, 0).reshape(self.site.heads, -1), at)


def study(
    options: CompileOptions, limit: int | None, image: int, progress: Progress
) -> dict[str, Any]:
    """The document of `mcuformer attention --json`; `options.calibration` are the samples, `image` the
    one whose attention is shown.

    UnsupportedModelError for a model without attention, UsageError for an image that is not there.
    """
    source = read_source(options)
    float_graph = imported(source.raw).replace(name=options.model.stem)
    attentions = list(sites(float_graph))
    if not attentions:
        raise UnsupportedModelError(f"{options.model.name} has no attention to look at")
    found = measured(source, float_graph, True, progress)
    codec = InputCodec(found.graph, found.graph.meta["normalisations"])
    assert options.calibration is not None
    data = load_dataset(options.calibration, codec.inputs)
    if not 0 <= image < len(data):
        raise UsageError(f"--image {image}: {options.calibration} has {len(data)} samples, from 0")
    progress("quantising")
    int_graph, _ = quantised(found)
    known = positions(float_graph)
    layers = {site.name: LayerSums(float_graph, site, known) for site in attentions}
    indices = data.spread(limit)
    for part in _chunks(attentions, indices):
        progress("looking", int(np.searchsorted(indices, part[0])), len(indices))
        samples = data.take(part)
        for site, p in of_float(float_graph, codec, samples):
            layers[site.name].add(p, 0)
        for site, p in of_int(int_graph, InputCodec.of(int_graph), samples):
            if site.name in layers:
                layers[site.name].add(p, 1)
    for site, p in of_float(float_graph, codec, data.take([image])):
        layers[site.name].show(p)
    return {
        "schema_version": 1,
        "model": str(options.model),
        "samples": len(indices),
        "samples_available": len(data),
        "image": image,
        "layers": [layer.document() for layer in layers.values()],
    }


def _chunks(attentions: Sequence[Site], indices: NDArray) -> Iterator[NDArray]:
    """Indices of samples that are run at once."""
    most = max(s.windows * s.heads * s.queries * s.keys for s in attentions)
    size = max(1, min(64, _CHUNK_NUMBERS // most))
    for first in range(0, len(indices), size):
        yield indices[first : first + size]


def _maps(seen: NDArray, at: Places) -> list[list[list[float]]]:
    """[heads, rows] as pictures, what is looked at most is 1; rows at one place are added up."""
    patches = ~np.isnan(at[:, 0])
    lines, columns = (np.unique(at[patches, i].round(9), return_inverse=True)[1] for i in (0, 1))
    maps = np.zeros((len(seen), lines.max() + 1, columns.max() + 1))
    for head, row in zip(maps, seen[:, patches], strict=True):
        np.add.at(head, (lines, columns), row)
    top = np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
    return np.round(maps / top, 3).tolist()
