"""A sample's two forms: the float ONNX input, and the integers that the firmware gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.inputs.dataset import essential
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import DTYPES, TensorType


@dataclass(frozen=True, slots=True, eq=False)
class InputCodec:
    """Of an integer graph; `mean` and `std` per channel over 0..1, where they are known."""

    graph: Graph
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def onnx_shape(self) -> tuple[int, ...]:
        """Batch axis included."""
        return tuple(self.graph.meta["input_shape"])

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Without the batch axis: (C, H, W) of an image, (T, C) of a sequence."""
        return self.onnx_shape[-3:] if self._is_image else self._type.shape

    def to_float(self, samples: NDArray) -> NDArray[np.float32]:
        """ONNX input values of uint8 pixels [n, *sample_shape]; floats stay as they are."""
        if samples.dtype != np.uint8:
            return samples.astype(np.float32, copy=False)
        if self._type.dtype == "uint8" and self._type.qparams is not None:
            pixels = np.moveaxis(samples, 1, -1)
            return np.moveaxis(self._type.qparams.dequantise(pixels), -1, 1).astype(np.float32)
        if self.mean is None or self.std is None:
            raise UsageError(
                "the data are pixels, but mean and std of the model are not known",
                "give --mean and --std when compiling, or float inputs in a .npz",
            )
        shape = (1, -1, *(1,) * (samples.ndim - 2))
        mean, std = (np.reshape(v, shape) for v in (self.mean, self.std))
        return ((samples / 255.0 - mean) / std).astype(np.float32)

    def to_int(self, samples: NDArray) -> NDArray:
        """[n, *int input shape] in the firmware's type and layout."""
        if samples.dtype == np.uint8 and self._type.dtype == "uint8":
            return np.ascontiguousarray(self._device_layout(samples))
        assert self._type.qparams is not None
        floats = self._device_layout(self.to_float(samples))
        return self._type.qparams.quantise(floats, self._type.dtype)

    def raw(self, array: NDArray) -> NDArray:
        """One sample of device integers, in ONNX layout [1, C, H, W] or in the device's own."""
        want = DTYPES[self._type.dtype]
        if array.dtype != want:
            raise UsageError(f"--raw wants {want}, the file holds {array.dtype}")
        if array.shape in (self._type.shape, (1, *self._type.shape)):
            return np.ascontiguousarray(array.reshape(self._type.shape))
        return np.ascontiguousarray(self._device_layout(self.one(array))[0])

    def one(self, array: NDArray) -> NDArray:
        """[1, *sample_shape] of a single sample with or without its batch axis."""
        if essential(array.shape) != essential(self.onnx_shape):
            raise UsageError(
                f"the input is {list(array.shape)}, the model wants {list(self.onnx_shape)}"
            )
        return array.reshape(1, *self.sample_shape)

    @property
    def _type(self) -> TensorType:
        return self.graph.type(self.graph.inputs[0])

    @property
    def _is_image(self) -> bool:
        return self.graph.meta.get("input_layout") == "NCHW"

    def _device_layout(self, samples: NDArray) -> NDArray:
        if self._is_image:
            return np.moveaxis(samples, 1, -1)
        return samples.reshape(len(samples), *self._type.shape)
