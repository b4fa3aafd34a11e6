"""GroupNorm, InstanceNorm, L2 norms and deviations: statistics of elements that stand together, wherever."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import OwnFault, Tensor, Unsupported, View
from mcuformer.ir.onnx_ops.base import Attrs, wrapped


def channel_groups(emit: Emitter, x: View, sets: NDArray) -> tuple[Tensor, NDArray] | None:
    """Where every one of `sets` [R, N] (elements of the bijective x's base) is all rows of some
    neighbouring channels: the rows, and which channels, as numbers 0..R-1 of groups."""
    assert isinstance(x.base, Tensor)
    base = emit.tokens(x.base)
    channels, count = base.shape[1], len(sets)
    if channels % count or not x.is_bijective():
        return None
    group = sets % channels // (channels // count)
    return (base, group[:, 0]) if (group == group[:, :1]).all() else None


def groupnorm(
    emit: Emitter, x: View, sets: NDArray, eps: float, centred: bool = True
) -> View | None:
    """x less the mean of its set, over its deviation, where sets are groups of channels."""
    found = channel_groups(emit, x, sets)
    if found is None:
        return None
    attrs = {"eps": eps, "groups": len(sets)} | ({} if centred else {"centred": False})
    return View(emit.op("groupnorm", [found[0].name], attrs, ""), x.index)


def rms(
    emit: Emitter,
    x: View,
    axes: Sequence[int],
    keepdims: bool,
    eps: float = 0.0,
    centred: bool = False,
) -> View:
    """sqrt(mean(x^2) + eps) over axes; `centred`: of x less its mean."""
    if not x.scale:
        raise Unsupported("looked for activations, found them multiplied by 0: drop the branch")
    ordered = emit.ordered(x)
    target, shape = ordered.along(axes, keepdims)
    count = target.shape[1]
    found = channel_groups(emit, ordered, target.T)
    if found is None:
        found = emit.place(ordered, target, keep_scale=True), np.arange(count)
    base, order = found
    attrs = {"eps": eps / x.scale**2, "groups": count} | ({} if centred else {"centred": False})
    return View(emit.op("rms", [base.name], attrs), order.reshape(shape), abs(x.scale))


def l2(emit: Emitter, x: View, axes: Sequence[int], keepdims: bool) -> View:
    """Of n numbers: sqrt(n) times the root of their mean square."""
    count = math.prod(x.shape[wrapped(a, len(x.shape))] for a in axes)
    root = rms(emit, x, axes, keepdims)
    return replace(root, scale=root.scale * math.sqrt(count))


def root_mean_square(emit: Emitter, x: View, attrs: Attrs) -> View:
    return rms(emit, x, attrs["axes"], True, attrs["epsilon"], attrs["centred"])


def of_another_norm(attrs: Attrs) -> View:
    """LpNormalization of p=2 is an RMSNormalization by now."""
    raise OwnFault(f"looked for p=2, found p={attrs.get('p', 2)}")


def power(emit: Emitter, x: View, exponent: float) -> View:
    """x^-1, x^0.5 or x^-0.5; what is only repeated is computed once."""
    if x.scale == 0 or (x.scale < 0 and exponent != -1):
        x = emit.unscaled(x)
    used = np.unique(x.index)
    if used.size < x.base_size or used[0] < 0 or not isinstance(x.base, Tensor):
        x = emit.ordered(x)
    base, factor = x.base, x.scale**exponent
    assert isinstance(base, Tensor)
    root = emit.made.get(base.name)
    if (
        exponent == -1
        and root is not None
        and (root.kind, root.attrs.get("exponent")) == ("power", 0.5)
    ):
        base, exponent = Tensor(str(root.inputs[0]), base.shape), -0.5
    return View(emit.op("power", [base.name], {"exponent": exponent}), x.index, factor)
