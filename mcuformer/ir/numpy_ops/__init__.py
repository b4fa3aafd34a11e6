"""ONNX operators in numpy: one table, `KERNELS[op_type](attrs, arrays, outputs) -> arrays`."""

from mcuformer.ir.numpy_ops import elementwise, movement, nn, quantize, reduction, resize
from mcuformer.ir.numpy_ops.base import Kernel

KERNELS: dict[str, Kernel] = {
    **elementwise.KERNELS, **movement.KERNELS, **reduction.KERNELS, **nn.KERNELS,
    **quantize.KERNELS, **resize.KERNELS,
}  # fmt: skip
