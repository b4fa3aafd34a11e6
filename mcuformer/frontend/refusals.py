"""Why a node is refused, and the nearest thing that works: sentences by operator, hints by family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mcuformer.frontend.nearest import NEAREST
from mcuformer.ir.functions import SPELLINGS

_BY_REASON: Mapping[str, tuple[str, ...]] = {
    "looked for QuantizeLinear and DequantizeLinear in a pair with constant scales, found one alone": (
        "QuantizeLinear", "DequantizeLinear",
    ),
    "part of no activation known here: it jumps, where rounding errs by the whole jump": (
        "Sign", "Floor", "Ceil", "Round",
    ),
    "looked for constant bounds, the lower one not above the upper": ("Clip",),
    "looked for finite numbers in the function's range, found others (Celu's alpha is above 0)": tuple(
        kind for kind, found in SPELLINGS.items() if any(s.numbers for _, s in found)
    ),
    "looked for positions that are constants, found a value that depends on the model's input": (
        "CumSum", "Range",
    ),
    "looked for a mask of constants, or for Where(x > 0, x, a*x), found another comparison that depends on "
    "the model's input: Max, Min, Clip and PRelu work": (
        "Less", "Greater", "LessOrEqual", "GreaterOrEqual",
    ),
    "looked for a mask of constants, found a comparison that depends on the model's input": (
        "Equal", "And", "Or", "Xor", "Not", "IsInf",
    ),
    "looked for a shape or an index that is constant, found one that depends on the model's input": (
        "ConstantOfShape", "Shape", "Size", "NonZero", "Mod", "ReduceProd",
    ),
    "looked for constants: what a TopK of activations chooses depends on the model's input; end the model "
    "before it and choose on the host, or take ArgMax": ("TopK",),
}  # fmt: skip
# never part of shape arithmetic: refused whatever their input is
ALWAYS = frozenset(("Sign", "TopK"))
REASONS: Mapping[str, str] = {
    kind: reason for reason, kinds in _BY_REASON.items() for kind in kinds
}
_QOPERATOR = frozenset(("QGemm", "QAttention", "QMoE", "QEmbedLayerNormalization"))
_DYNAMIC = frozenset((
    "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat", "MatMulInteger16", "DynamicQuantizeLSTM",
))  # fmt: skip
_PACKED = frozenset(("MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized"))
_FUSED = frozenset((
    "com.microsoft.Attention", "MultiHeadAttention", "PackedAttention", "GroupQueryAttention", "BiasGelu",
    "FastGelu", "FusedMatMul", "FusedGemm", "FusedConv", "SkipLayerNormalization", "BiasAdd",
    "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization", "TransposeMatMul", "NhwcConv",
    "com.microsoft.RotaryEmbedding", "BiasSplitGelu", "BiasSoftmax", "GroupNorm", "NhwcMaxPool",
    "NhwcFusedConv",
    "SkipGroupNorm", "GemmFastGelu", "FusedMatMulActivation", "BiasDropout", "DecoderMaskedMultiHeadAttention",
))  # fmt: skip
_FLOW = frozenset(("If", "Loop", "Scan", "SequenceMap"))
_HINTS: Mapping[str, str] = {
    "qoperator": "this is a QOperator file: bring the float model with --calibration, or the QDQ "
    "model (onnxruntime's quantize_static with quant_format=QuantFormat.QDQ)",
    "dynamic": "this file is quantised dynamically, with scales that are computed on the device: "
    "bring the float model with --calibration, or a QDQ model (onnxruntime's quantize_static)",
    "packed": "bring the float model, and --weight-bits 4 packs it here, or quantise to DequantizeLinear "
    "with a block_size (quant_format=QDQ) instead",
    "fused": "these operators are an optimiser's: bring the model as it was exported with opset 20 or less, "
    "before onnxruntime's graph optimisations, or saved at their basic level (ORT_ENABLE_BASIC)",
    "flow": "an If is followed where shapes alone decide it; other branches and loops must be gone before: "
    "export by tracing with fixed shapes, or run onnxslim on the file",
    "foreign": "operators of another domain are known to their own runtime only: export with "
    "standard ONNX operators, without custom_opsets or fallbacks",
    "shape": "where the shape alone makes it unknown, --input-shape NAME=1,3,224,224 fixes it",
    "normalisation": "export with opset 17 or later, which writes one LayerNormalization node",
    "activation": "export with opset 20, which writes one Gelu node, or use an activation of "
    "`mcuformer ops`",
}  # fmt: skip
_OPS = "`mcuformer ops` lists what can be compiled"
_MOST_HINTS = 3


def unknown_operator(kind: str) -> str:
    """Of an operator that is in no table."""
    said = {
        "qoperator": "an integer operator of the QOperator format",
        "dynamic": "an operator of dynamic quantisation",
        "packed": "weights packed for another runtime",
        "fused": "a fused operator of another runtime",
        "flow": "control flow",
        "foreign": "this operator of another domain is not supported",
    }
    text = said.get(family(kind), "this operator is not supported")
    return f"{text}: {NEAREST[kind]}" if kind in NEAREST else text


def on_constants_only(kind: str) -> str:
    """What was looked for, of an operator that is understood inside others or on constants."""
    return REASONS.get(
        kind, "looked for constant operands, found one that depends on the model's input"
    )


def family(kind: str) -> str:
    """Which hint an operator gets; "" for the general one."""
    if kind.startswith("com.microsoft.nchwc."):
        return "fused"
    if kind.startswith("QLinear") or kind in _QOPERATOR:
        return "qoperator"
    sets = {"dynamic": _DYNAMIC, "packed": _PACKED, "fused": _FUSED, "flow": _FLOW}
    found = next((name for name, kinds in sets.items() if kind in kinds), "")
    if found or "." in kind:
        return found or "foreign"
    reason = REASONS.get(kind, "")
    words = {"normalisation": "normalisation", "GELU": "activation", "activation": "activation"}
    named = next((words[w] for w in words if w in reason), "")
    return named or ("shape" if "depends" in reason else "")


def hint(kinds: Iterable[str]) -> str:
    """The nearest things that work, for all refused operators together."""
    found = dict.fromkeys(f for f in map(family, kinds) if f)
    return "; ".join([*(_HINTS[f] for f in list(found)[:_MOST_HINTS]), _OPS])
