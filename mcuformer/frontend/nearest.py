"""ONNX operators that no row knows: what each is, and the nearest thing that works."""

from __future__ import annotations

from collections.abc import Mapping

_BY_SENTENCE: Mapping[str, tuple[str, ...]] = {
    "it jumps, where rounding errs by the whole jump; Relu, LeakyRelu or Clip works": (
        "ThresholdedRelu", "Shrink",
    ),
    "Sigmoid and Mul work, which opset 20 writes": ("SwiGLU",),
    "the model's input decides it; Where with a constant mask, or a product with a gate, works": ("If",),
    "tracing (torch.onnx.export of a module that is not scripted) unrolls a fixed number of turns": (
        "Loop", "Scan", "SequenceMap",
    ),
    "ArgMax works": ("Hardmax", "OneHot"),
    "LayerNormalization over the last axis, or BatchNormalization, works": (
        "LRN",
    ),
    "MaxPool, AveragePool or GlobalAveragePool works": (
        "LpPool", "GlobalLpPool", "MaxRoiPool", "RoiAlign", "MaxUnpool",
    ),
    "Conv works": (
        "DeformConv", "CausalConvWithState",
    ),
    "Resize of mode nearest, Slice and Pad with constant sizes work": (
        "GridSample", "AffineGrid", "CenterCropPad",
    ),
    "a recurrence, which keeps a state; attention, or Conv over time, works": (
        "RNN", "GRU", "LSTM", "LinearAttention",
    ),
    "a choice that depends on the model's input; end the model before it and choose on the host, or "
    "take ArgMax": (
        "Unique", "NonMaxSuppression", "Compress", "ReverseSequence",
    ),
    "Slice, Gather, Concat and Where with constant positions work": (
        "Scatter", "TensorScatter",
    ),
    "numbers drawn at random; export for inference (model.eval()), or make them an input": (
        "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
        "Multinomial",
    ),
    "signal processing; do it before the model, whose input is then the spectrum": ("DFT", "STFT"),
    "a constant that was not folded; run onnxslim on the file": (
        "BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix", "EyeLike",
    ),
    "arithmetic on bits; arithmetic on floats works": (
        "BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
    ),
    "Cast to float works": ("CastLike",),
    "a product along an axis; Mul of slices works": ("CumProd", "Det"),
    "a list of tensors; Split and Concat work": (
        "ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
        "SequenceInsert", "SequenceLength", "SplitToSequence", "Optional", "OptionalGetElement",
        "OptionalHasElement",
    ),
    "texts and files belong before the model, whose input is numbers": (
        "ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit",
        "TfIdfVectorizer",
    ),
    "a loss, which training alone needs; export for inference (model.eval())": (
        "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss",
    ),
}  # fmt: skip
NEAREST: Mapping[str, str] = {kind: text for text, kinds in _BY_SENTENCE.items() for kind in kinds}
