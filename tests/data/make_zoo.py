"""Exports the zoo: small seeded random transformers, by both torch exporters.

Writes tests/data/zoo/*.onnx. Needs torch, timm, transformers, onnxscript and onnxruntime (an
environment of its own); the tests read the files only. `python tests/data/make_zoo.py [part of a
name ...]`. expected.npz holds what torch computes for the input that `zoo_input` draws.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import timm
import torch
from quantised_zoo import IMAGE, QUANTISED, quantise
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

ZOO = Path(__file__).parent / "zoo"
SMALL = dict(img_size=16, patch_size=4, embed_dim=12, depth=2, num_heads=3, num_classes=5)


def zoo_input(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


@dataclass
class Entry:
    build: Callable[[], nn.Module]
    exports: tuple[str, ...]  # "ts17", "dyn18"; "b" at the end: dynamic batch, "n": unfolded
    shape: tuple[int, ...] = IMAGE
    dynamic: dict[int, str] = field(default_factory=dict)


def vit(**changes: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        kind = changes.pop("cls", VisionTransformer) if "cls" in changes else VisionTransformer
        return kind(**{**SMALL, **changes})

    return build


def unfused(**changes: Any) -> Callable[[], nn.Module]:
    """Attention written out instead of scaled_dot_product_attention."""

    def build() -> nn.Module:
        timm.layers.set_fused_attn(False)
        try:
            return VisionTransformer(**{**SMALL, **changes})
        finally:
            timm.layers.set_fused_attn(True)

    return build


class Sequence(nn.Module):
    """A torch encoder over a sequence, mean over time, classifier. batch_first as given."""

    def __init__(self, norm_first: bool, act: str, batch_first: bool, masked: bool = False) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            12, 3, 24, activation=act, batch_first=batch_first, norm_first=norm_first
        )
        last = nn.LayerNorm(12) if norm_first else None
        self.encoder = nn.TransformerEncoder(layer, 2, norm=last, enable_nested_tensor=False)
        self.head, self.time, self.masked = nn.Linear(12, 4), 1 if batch_first else 0, masked

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = None
        if self.masked:
            n = x.shape[self.time]
            mask = torch.triu(torch.full((n, n), float("-inf")), diagonal=1)
        return self.head(self.encoder(x, mask=mask).mean(self.time))


class Patchify(nn.Module):
    """Patches by reshape and permute, then a linear layer; q, k, v chunked or interleaved."""

    def __init__(self, interleaved: bool = False) -> None:
        super().__init__()
        self.embed, self.pos = nn.Linear(48, 12), nn.Parameter(torch.zeros(1, 16, 12))
        self.norm, self.qkv, self.proj = nn.LayerNorm(12), nn.Linear(12, 36), nn.Linear(12, 12)
        self.head, self.interleaved = nn.Linear(12, 5), interleaved

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        x = x.reshape(b, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(b, 16, 48)
        x = self.embed(x) + self.pos
        y = self.qkv(self.norm(x))
        if self.interleaved:  # [T, heads, 3, d]
            q, k, v = y.reshape(b, 16, 3, 3, 4).permute(0, 2, 3, 1, 4).unbind(2)
        else:
            q, k, v = (p.reshape(b, 16, 3, 4).transpose(1, 2) for p in y.chunk(3, dim=-1))
        a = (q @ k.transpose(-2, -1) / 2.0).softmax(-1)
        x = x + self.proj((a @ v).transpose(1, 2).reshape(b, 16, 12))
        return self.head(x.mean(1))


class ConvStem(nn.Module):
    """Convolutions with BatchNorm and ReLU, then a plain block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8), nn.Hardswish(),
            nn.Conv2d(8, 12, 1), nn.MaxPool2d(2),
        )  # fmt: skip
        self.blocks = VisionTransformer(**SMALL).blocks
        self.norm, self.head = nn.BatchNorm1d(12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = self.blocks(x).mean(1)
        return self.head(self.norm(x))


def hugging(kind: str, **changes: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        config = transformers.ViTConfig(
            hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=24,
            image_size=16, patch_size=4, num_labels=5, **changes,
        )  # fmt: skip
        if kind.startswith("Dinov2"):
            config = transformers.Dinov2Config(
                hidden_size=12, num_hidden_layers=1, num_attention_heads=3, mlp_ratio=2,
                image_size=16, patch_size=4, num_labels=5,
            )  # fmt: skip
        if kind.startswith("DeiT"):
            config = transformers.DeiTConfig(**config.to_diff_dict())
        return Tuple(getattr(transformers, kind)(config))

    return build


class Tuple(nn.Module):
    """Hugging Face models return a dataclass; exporters want its tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> Any:
        out = self.model(x, return_dict=True)
        if hasattr(out, "logits"):
            return out.logits
        return (out.last_hidden_state, out.pooler_output)


SEQ = (1, 9, 12)
SEQ_T = (9, 1, 12)
ENTRIES: dict[str, Entry] = {
    "vit_cls": Entry(vit(), ("ts14", "ts17", "ts20", "dyn18", "dyn20", "ts17b", "dyn18b", "ts17n")),
    "vit_unfused": Entry(unfused(), ("ts13",)),
    "vit_distilled": Entry(vit(cls=VisionTransformerDistilled), ("ts17", "dyn18")),
    "vit_avg": Entry(vit(class_token=False, global_pool="avg"), ("ts16", "ts20", "dyn20")),
    "vit_reg": Entry(vit(reg_tokens=3), ("ts18", "dyn18")),
    "vit_reg_avg": Entry(vit(reg_tokens=2, global_pool="avg", fc_norm=True), ("ts17",)),
    "vit_no_qkv_bias": Entry(vit(qkv_bias=False), ("ts15",)),
    "vit_layerscale": Entry(vit(init_values=0.1, no_embed_class=True), ("ts19", "dyn20")),
    "vit_qknorm": Entry(vit(qk_norm=True, depth=1), ("ts17", "dyn18")),
    "vit_qknorm_unfused": Entry(unfused(qk_norm=True, depth=1), ("ts13",)),
    "vit_relu_prenorm": Entry(vit(act_layer="relu", pre_norm=True, depth=1), ("ts17", "dyn18")),
    "vit_tanh_gelu": Entry(vit(act_layer="gelu_tanh", depth=1), ("ts14", "ts20", "dyn18", "dyn20")),
    "vit_quick_gelu": Entry(vit(act_layer="quick_gelu", depth=1), ("ts15",)),
    "vit_map_pool": Entry(vit(class_token=False, global_pool="map", depth=1), ("ts17", "dyn18")),
    "vit_odd": Entry(
        vit(img_size=15, patch_size=5, embed_dim=15, num_heads=5, depth=1),
        ("ts17",),
        (1, 3, 15, 15),
    ),
    "seq_post_relu_bf": Entry(
        lambda: Sequence(False, "relu", True), ("ts17", "dyn18", "ts17b"), SEQ
    ),
    "seq_post_gelu_nbf": Entry(lambda: Sequence(False, "gelu", False), ("ts17", "dyn20"), SEQ_T),
    "seq_pre_gelu_bf": Entry(lambda: Sequence(True, "gelu", True), ("ts14", "ts20", "dyn18"), SEQ),
    "seq_pre_relu_nbf": Entry(lambda: Sequence(True, "relu", False), ("ts17", "dyn18"), SEQ_T),
    "seq_masked": Entry(lambda: Sequence(True, "relu", True, True), ("ts17",), SEQ),
    "seq_dynamic_time": Entry(lambda: Sequence(True, "gelu", True), ("ts17",), SEQ, {1: "time"}),
    "patchify": Entry(Patchify, ("ts17",)),
    "patchify_interleaved": Entry(lambda: Patchify(True), ("ts17", "dyn18")),
    "conv_stem": Entry(ConvStem, ("ts17",)),
    "hf_vit_model": Entry(hugging("ViTModel"), ("ts17", "dyn20")),
    "hf_vit_class": Entry(hugging("ViTForImageClassification"), ("ts14", "ts17b", "dyn18")),
    "hf_vit_no_bias": Entry(hugging("ViTForImageClassification", qkv_bias=False), ("ts17",)),
    "hf_deit": Entry(hugging("DeiTForImageClassificationWithTeacher"), ("ts17", "dyn18")),
    "hf_dinov2": Entry(hugging("Dinov2ForImageClassification"), ("ts17", "dyn18")),
}


def seeded(entry: Entry) -> nn.Module:
    """Every parameter and statistic random, so that nothing is 0, 1 or shared by accident."""
    torch.manual_seed(11)
    model = entry.build()
    with torch.no_grad():
        for name, p in (*model.named_parameters(), *model.named_buffers()):
            if p.dtype.is_floating_point:
                p.copy_(
                    torch.randn_like(p) * 0.25 + (1.0 if "var" in name or "norm" in name else 0.0)
                )
                if "var" in name:
                    p.abs_()
    return model.eval()


def export(model: nn.Module, entry: Entry, how: str, path: Path) -> None:
    batch = how.endswith("b")
    opset = int(how.strip("tsdynb"))
    folding = not how.endswith("n")
    axes = dict(entry.dynamic) | ({0: "batch"} if batch else {})
    x = torch.from_numpy(zoo_input(entry.shape))
    names = {"input_names": ["x"], "output_names": ["y"]}
    if how.startswith("ts"):
        dynamic = {"x": axes} if axes else None
        options = {"dynamic_axes": dynamic, "do_constant_folding": folding}
        torch.onnx.export(model, (x,), path, dynamo=False, opset_version=opset, **options, **names)
        return
    shapes = {i: torch.export.Dim(n) for i, n in axes.items()}
    example = torch.cat([x, x]) if batch else x
    options = {
        "verbose": False,
        "external_data": False,
        "dynamic_shapes": (shapes,) if shapes else None,
    }
    torch.onnx.export(model, (example,), path, dynamo=True, opset_version=opset, **options, **names)
    strip_stack_traces(path)


def strip_stack_traces(path: Path) -> None:
    """They name the exporting machine's folders and dwarf a small model; nothing reads them."""
    model = onnx.load(path)
    for node in model.graph.node:
        kept = [p for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(model, path)


def main(parts: list[str]) -> None:
    warnings.filterwarnings("ignore")
    ZOO.mkdir(exist_ok=True)
    table = ZOO / "expected.npz"
    expected = dict(np.load(table)) if table.exists() else {}
    for name, entry in ENTRIES.items():
        if parts and not any(p in name for p in parts):
            continue
        model = seeded(entry)
        with torch.no_grad():
            y = model(torch.from_numpy(zoo_input(entry.shape)))
        outputs = y if isinstance(y, tuple) else (y,)
        for i, out in enumerate(outputs):
            expected[f"{name}.{i}"] = out.numpy()
        expected[f"{name}.shape"] = np.asarray(entry.shape)
        for how in entry.exports:
            try:
                export(model, entry, how, ZOO / f"{name}.{how}.onnx")
            except Exception as error:  # noqa: BLE001, an exporter's own failure is reported, the rest goes on
                print(f"{name}.{how}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
    for name in QUANTISED:
        if not parts or any(p in name for p in parts):
            quantise(ZOO, name)
    np.savez_compressed(table, **expected)


if __name__ == "__main__":
    main(sys.argv[1:])
