"""What an ONNX file holds of a plain ViT, against the network it was exported from; and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from test_adapters import ARCH, DENSE, stir
from test_train import small_data
from torch import nn

from mcuformer.errors import UsageError
from mcuformer.frontend.load import load_model
from mcuformer.search.adapt import Method, task_model
from mcuformer.search.backbone import load_backbone
from mcuformer.search.finish import export
from mcuformer.search.net import Network, initialise
from mcuformer.search.plain_vit import read_plain_vit
from mcuformer.search.vit_outline import vit_outline

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = {
    "patches": {},
    "padded patches": {"patch": 5},
    "convolutions": {"stem": "8-12/2", "patch": 4},
    "class token": {"pool": "cls"},
    "class token of convolutions": {"stem": "8/3", "patch": 3, "pool": "cls"},
    "class token of one block": {"pool": "cls", "hidden": (48,)},
    "factors": {"rank_qkv": 0.5, "rank_proj": 0.5, "rank_fc1": 0.25, "rank_fc2": 0.25},
}


def drawn(**changes):
    """A network none of whose numbers is what it starts as, nor the statistics of its batch norms."""
    network = Network(replace(ARCH, **DENSE | changes))
    generator = torch.Generator().manual_seed(0)
    initialise(network, generator)
    stir(network, generator)
    for norm in network.stem.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.3, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


def exported(folder, **changes):
    network = drawn(**changes)
    export(network, small_data(16), folder / "base.onnx")
    return network, folder / "base.onnx"


@torch.no_grad()
def logits(network, seed=1):
    down, across, channels = network.arch.image
    x = torch.randn(3, channels, down, across, generator=torch.Generator().manual_seed(seed))
    return network(x)


@pytest.mark.parametrize("case", CASES)
def test_what_export_writes_is_read_again(tmp_path, case):
    base, path = exported(tmp_path, **CASES[case])
    found = load_backbone(path)
    assert found.network.arch == base.arch and found.mean == (0.4,)
    assert "mcuformer.std" in read_plain_vit(path).notes
    wanted = logits(base)
    assert (logits(found.network) - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("case", ["patches", "convolutions", "class token"])
def test_what_was_read_is_written_as_it_was(tmp_path, case):
    """Tasks are compiled together where their network's constants are equal, bit by bit."""
    _, path = exported(tmp_path, **CASES[case])
    network = read_plain_vit(path).network
    export(network, small_data(16), tmp_path / "again.onnx")
    files = [load_model(p, {}) for p in (path, tmp_path / "again.onnx")]
    for first, second in zip(*(graph.ops for graph in files), strict=True):
        assert (first.kind, first.attrs) == (second.kind, second.attrs)
        pairs = [
            [graph.const(name) for name in op.inputs]
            for graph, op in zip(files, (first, second), strict=True)
        ]
        for one, other in zip(*pairs, strict=True):
            assert (one is None) == (other is None)
            assert one is None or np.array_equal(one, other)


def test_convolutions_keep_what_their_norms_became(tmp_path):
    """Training all weights begins at the file's function: no statistics of a batch come into it."""
    _, path = exported(tmp_path, **CASES["convolutions"])
    base = load_backbone(path)
    model = task_model(base, 10, Method(full=True), seed=0)
    model.head.load_state_dict(base.network.head.state_dict())
    assert (logits(model.train()) - logits(base.network)).abs().max() < 1e-5
    assert all(p.requires_grad for p in model.parameters())


def test_the_flagship():
    onnxruntime = pytest.importorskip("onnxruntime")
    path = EXAMPLES / "cifar10_flagship.onnx"
    network = load_backbone(path).network
    arch = network.arch
    assert (arch.stem, arch.dim, arch.hidden) == ("32-64/2-64-96/2-128", 160, (160, 320, 160))
    x = np.random.default_rng(2).normal(size=(1, 3, 32, 32)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"image": x})
    with torch.no_grad():
        assert np.abs(network(torch.from_numpy(x)).numpy() - wanted).max() < 1e-4


def spoilt(path, change):
    """The file after `change(graph)`."""
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)
    return path


def nodes(graph, kind):
    return [n for n in graph.node if n.op_type == kind]


def other_bend(graph):
    for node in nodes(graph, "Relu"):
        node.op_type = "Sigmoid"


def groups(graph):
    """The second convolution in two groups."""
    node = nodes(graph, "Conv")[1]
    (weight,) = (t for t in graph.initializer if t.name == node.input[1])
    data = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(data[:, : data.shape[1] // 2].copy(), weight.name))
    next(a for a in node.attribute if a.name == "group").i = 2


def wide_border(graph):
    """5x5 with a border of two: rows of zeros around."""
    node = nodes(graph, "Conv")[1]
    (weight,) = (t for t in graph.initializer if t.name == node.input[1])
    data = np.pad(numpy_helper.to_array(weight), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    weight.CopyFrom(numpy_helper.from_array(data, weight.name))
    for attribute in node.attribute:
        if attribute.name in ("pads", "kernel_shape"):
            values = [2] * 4 if attribute.name == "pads" else [5, 5]
            attribute.CopyFrom(onnx.helper.make_attribute(attribute.name, values))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (other_bend, "something else than ReLU"),
        (groups, "has groups"),
        (wide_border, "no convolution of 3x3"),
    ],
)
def test_stems_of_another_kind_are_refused(tmp_path, change, why):
    _, path = exported(tmp_path, **CASES["convolutions"])
    with pytest.raises(UsageError, match=why):
        read_plain_vit(spoilt(path, change))


class MeanFirst(Network):
    """timm's `fc_norm`: the mean is taken before the norm."""

    def encode(self, tokens):
        x = tokens.flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.mean(dim=1)))


class Joined(Network):
    """The second norm reads what the first does: the same kinds in the same order."""

    def encode(self, tokens):
        x = tokens.flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            y = x + block.attn(block.norm1(x))
            x = y + block.fc2(torch.nn.functional.gelu(block.fc1(block.norm2(x))))
        return self.head(self.norm(x).mean(dim=1))


@pytest.mark.parametrize(
    ("kind", "why"), [(MeanFirst, "no plain ViT"), (Joined, "computes something else")]
)
def test_other_wirings_are_refused(tmp_path, kind, why):
    network = kind(replace(ARCH, **DENSE))
    network.load_state_dict(drawn().state_dict())
    export(network, small_data(16), tmp_path / "base.onnx")
    with pytest.raises(UsageError, match=why):
        read_plain_vit(tmp_path / "base.onnx")


def test_other_networks_are_refused(tmp_path):
    export(drawn(relative=True), small_data(16), tmp_path / "relative.onnx")
    with pytest.raises(UsageError, match="a bias on its scores"):
        load_backbone(tmp_path / "relative.onnx")
    with pytest.raises(UsageError, match="no plain ViT"):
        load_backbone(EXAMPLES / "fashion_swin.onnx")


def test_a_file_without_normalisation_is_refused(tmp_path):
    _, path = exported(tmp_path)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(UsageError, match="does not say how its images are normalised"):
        load_backbone(path)


def test_an_outline_names_layers(tmp_path):
    _, path = exported(tmp_path, **CASES["factors"])
    outline = vit_outline(load_model(path, {}))
    assert [len(b.qkv) for b in outline.blocks] == [4] * ARCH.depth
    assert {len(b.fc1) for b in outline.blocks} == {2} and outline.token is None
    assert vit_outline(load_model(EXAMPLES / "fashion_swin.onnx", {})) is None
