"""A sample's two forms: the float ONNX inputs, and the integers that the firmware gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.inputs.arrays import InputSpec, essential
from mcuformer.ir.graph import Graph
from mcuformer.ir.layout import Feeds, feeds, is_image, layout_of, onnx_shape, pixels_of
from mcuformer.ir.types import DTYPES, TensorType

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std per channel over 0..1


@dataclass(frozen=True, slots=True, eq=False)
class InputCodec:
    """Of all inputs of a graph; `known` has mean and std of each, None where there are none."""

    graph: Graph
    known: Sequence[Normalisation | None] = ()

    @staticmethod
    def of(graph: Graph) -> InputCodec:
        """Of a quantised graph, whose meta says what is known."""
        return InputCodec(graph, graph.meta["normalisations"])

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What a sample consists of."""
        names = self.graph.meta.get("input_names", self.graph.inputs)
        rows = zip(names, self.graph.inputs, self.tensors, strict=True)
        return tuple(InputSpec(name, value, t.sample_shape) for name, value, t in rows)

    @property
    def tensors(self) -> tuple[TensorCodec, ...]:
        known = (*self.known, *[None] * (len(self.graph.inputs) - len(self.known)))
        return tuple(
            TensorCodec(
                self.graph.type(name),
                onnx_shape(self.graph, i),
                is_image(self.graph, i),
                k,
                layout_of(self.graph, i) == "NHWC",
                pixels_of(self.graph, i) is not None,
            )
            for i, (name, k) in enumerate(zip(self.graph.inputs, known, strict=True))
        )

    def to_float(self, samples: Feeds) -> tuple[NDArray[np.float32], ...]:
        """Per input: ONNX values of uint8 pixels [n, *sample_shape]; floats stay as they are."""
        return tuple(t.to_float(x) for t, x in self._pairs(samples))

    def to_file(self, samples: Feeds) -> tuple[NDArray, ...]:
        """Per input: what the ONNX file itself takes, [n, ...] in its own layout and type."""
        return tuple(t.to_file(x) for t, x in self._pairs(samples))

    def typed(self, samples: Feeds) -> tuple[NDArray, ...]:
        """Per input: pixels that are held as floats, where the file takes uint8, as uint8."""
        return tuple(t.typed(x) for t, x in self._pairs(samples))

    def to_int(self, samples: Feeds) -> tuple[NDArray, ...]:
        """Per input: [n, *int input shape] in the firmware's type and layout."""
        return tuple(t.to_int(x) for t, x in self._pairs(samples))

    def one(self, arrays: Feeds) -> tuple[NDArray, ...]:
        """Per input: [1, *sample_shape] of a single sample with or without its batch axis."""
        return tuple(t.one(x) for t, x in self._pairs(arrays))

    def raw(self, arrays: Feeds) -> tuple[NDArray, ...]:
        """Per input: [1, *int input shape] of one sample of device integers, in either layout."""
        return tuple(t.raw(x)[None] for t, x in self._pairs(arrays))

    def _pairs(self, arrays: Feeds) -> list[tuple[TensorCodec, NDArray]]:
        return list(zip(self.tensors, feeds(self.graph, arrays), strict=True))


def device_bytes(ints: Sequence[NDArray]) -> list[bytes]:
    """What a runner takes per sample: the bytes of all inputs, one after the other."""
    parts = [[np.ascontiguousarray(x).tobytes() for x in array] for array in ints]
    return [b"".join(sample) for sample in zip(*parts, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class TensorCodec:
    """Of one input: `type` as the firmware has it, `onnx_shape` with its batch axis; `last`: the file has
    an image's channels last; `bytes_`: it takes uint8."""

    type: TensorType
    onnx_shape: tuple[int, ...]
    is_image: bool
    known: Normalisation | None = None
    last: bool = False
    bytes_: bool = False

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Without the batch axis: (C, H, W) of an image, (T, C) of a sequence."""
        if not self.is_image:
            return self.type.shape
        *size, channels = self.type.shape
        return (channels, *size)

    def typed(self, samples: NDArray) -> NDArray:
        """uint8, where that is what the file takes."""
        if not self.bytes_ or samples.dtype == np.uint8:
            return samples
        return np.clip(np.rint(samples), 0, 255).astype(np.uint8)

    def to_file(self, samples: NDArray) -> NDArray:
        """[n, ...] as the file takes it, of pixels or floats [n, *sample_shape]."""
        x = self.typed(samples) if self.bytes_ else self.to_float(samples)
        return np.moveaxis(x, 1, -1) if self.last else x

    def to_float(self, samples: NDArray) -> NDArray[np.float32]:
        """ONNX input values of uint8 pixels [n, *sample_shape]; floats stay as they are."""
        samples = self.typed(samples)
        if samples.dtype != np.uint8:
            return samples.astype(np.float32, copy=False)
        if self.type.dtype == "uint8" and self.type.qparams is not None:
            pixels = np.moveaxis(samples, 1, -1)
            return np.moveaxis(self.type.qparams.dequantise(pixels), -1, 1).astype(np.float32)
        if self.known is None:
            raise UsageError(
                "the data are pixels, but mean and std of the model are not known",
                "give --mean and --std when compiling, or float inputs in a .npz",
            )
        shape = (1, -1, *(1,) * (samples.ndim - 2))
        mean, std = (np.reshape(v, shape) for v in self.known)
        return ((samples / 255.0 - mean) / std).astype(np.float32)

    def to_int(self, samples: NDArray) -> NDArray:
        """[n, *int input shape] in the firmware's type and layout."""
        samples = self.typed(samples)
        if samples.dtype == np.uint8 and self.type.dtype == "uint8":
            return np.ascontiguousarray(self._device_layout(samples))
        assert self.type.qparams is not None
        floats = self._device_layout(self.to_float(samples))
        return self.type.qparams.quantise(floats, self.type.dtype)

    def raw(self, array: NDArray) -> NDArray:
        """One sample of device integers, in ONNX layout [1, C, H, W] or in the device's own."""
        want = DTYPES[self.type.dtype]
        if array.dtype != want:
            raise UsageError(f"--raw wants {want}, the file holds {array.dtype}")
        if array.shape in (self.type.shape, (1, *self.type.shape)):
            return np.ascontiguousarray(array.reshape(self.type.shape))
        return np.ascontiguousarray(self._device_layout(self.one(array))[0])

    def one(self, array: NDArray) -> NDArray:
        """[1, *sample_shape] of a single sample with or without its batch axis."""
        if essential(array.shape) != essential(self.onnx_shape):
            raise UsageError(
                f"the input is {list(array.shape)}, the model wants {list(self.onnx_shape)}"
            )
        if self.last:
            return np.moveaxis(array.reshape(1, *self.onnx_shape[-3:]), -1, 1)
        return array.reshape(1, *self.sample_shape)

    def _device_layout(self, samples: NDArray) -> NDArray:
        if self.is_image:
            return np.moveaxis(samples, 1, -1)
        return samples.reshape(len(samples), *self.type.shape)
