"""The QDQ files of the zoo, as onnxruntime quantises its float models (make_zoo.py runs this)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

IMAGE = (1, 3, 16, 16)
QUANTISED = {  # name -> (source, quantize_static options)
    "qdq_s8_channel": ("vit_cls.ts17", dict(per_channel=True, activation_type=QuantType.QInt8)),
    "qdq_u8_tensor": ("vit_avg.ts20", dict(activation_type=QuantType.QUInt8)),
    "qdq_u8u8_relu": (
        "vit_relu_prenorm.ts17",
        dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8),
    ),
    "qdq_u8_symmetric": (
        "vit_tanh_gelu.dyn18",
        dict(activation_type=QuantType.QUInt8, extra_options={"ActivationSymmetric": True}),
    ),
    "qdq_s16": ("vit_cls.dyn18", dict(per_channel=True, activation_type=QuantType.QInt16)),
    "qdq_products_only": ("vit_cls.dyn20", dict(op_types_to_quantize=["MatMul", "Conv", "Gemm"])),
}


class Batches(CalibrationDataReader):
    """Eight random images."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.data = iter([rng.standard_normal(IMAGE).astype(np.float32) for _ in range(8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        x = next(self.data, None)
        return None if x is None else {"x": x}


def quantise(folder: Path, name: str) -> None:
    """Writes folder/name.onnx from the model that it is made of."""
    source, options = QUANTISED[name]
    options = {"weight_type": QuantType.QInt8, **options}
    source_path, target = folder / f"{source}.onnx", folder / f"{name}.onnx"
    quantize_static(source_path, target, Batches(), quant_format=QuantFormat.QDQ, **options)
