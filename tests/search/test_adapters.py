"""ARC's adapters: what they compute, what of them is shared, and that folding gives the plain network back."""

from collections import Counter
from dataclasses import replace

import onnx
import pytest

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from test_train import small_data

from mcuformer.search.adapters import Adapted, Adapter, folded
from mcuformer.search.finish import export
from mcuformer.search.net import Network, initialise
from mcuformer.search.replicas import splits_whole
from mcuformer.search.space import load_space


def adapters_of(network: Network) -> list[Adapter]:
    """Of every place, block by block."""
    return [m for m in network.modules() if isinstance(m, Adapter)]


ARCH = replace(
    load_space("tiny").with_choices(patch=(8,)).smallest(), dim=32, hidden=(48, 64), heads=2
)
DENSE = {f"rank_{n}": 1.0 for n in ("qkv", "proj", "fc1", "fc2")}
CASES = {
    "dense": DENSE,
    "low rank": {"rank_qkv": 0.5, "rank_fc1": 0.25},
    "class token": DENSE | {"pool": "cls"},
}


def drawn(case, attention_only=False):
    """An adapted network none of whose numbers is what it starts as."""
    base, generator = Network(replace(ARCH, **CASES[case])), torch.Generator().manual_seed(0)
    initialise(base, generator)
    stir(base, generator)  # equal tensors would be shared by nodes of their own
    model = Adapted(base.eval(), 7, 6, attention_only, generator)
    stir(model, generator)
    return base, model.eval()


@torch.no_grad()
def stir(module, generator):
    for p in module.parameters():
        p.add_(0.05 * torch.randn(p.shape, generator=generator))


@pytest.mark.parametrize("attention_only", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_folding_changes_nothing_but_the_nodes(tmp_path, case, attention_only):
    base, model = drawn(case, attention_only)
    x = torch.randn(8, 1, 24, 24, generator=torch.Generator().manual_seed(1))
    plain = folded(model.network)
    with torch.no_grad():
        assert (model(x) - plain(x)).abs().max() < 1e-5
        assert (model(x) - base(x)[:, :7]).abs().max() > 1e-2
    data = small_data(16)
    for name, network in (("base", base), ("folded", plain), ("beside", model.network)):
        export(network, data, tmp_path / f"{name}.onnx")
    nodes = {
        p.stem: Counter(n.op_type for n in onnx.load(p).graph.node) for p in tmp_path.glob("*.onnx")
    }
    assert nodes["folded"] == nodes["base"]
    assert nodes["beside"] != nodes["base"]


def test_an_adapter_is_the_papers():
    """Behind the norm: x + ((x W) * c) W^T + b, what is dropped is of the bottleneck; attention's begin as
    nothing, and threads do not part a batch for which numbers are drawn."""
    base, generator = Network(replace(ARCH, **DENSE)), torch.Generator().manual_seed(0)
    model = Adapted(base, 7, 6, False, generator)
    assert not any(a.coefficients.any() or a.bias.any() for a in model.attention)
    assert all(a.coefficients.all() and not a.bias.any() for a in model.mlp)
    bound = (6 / (ARCH.dim + 6)) ** 0.5
    assert all(
        0.8 * bound < a.down.abs().max() <= bound for a in (model.attention[0], model.mlp[0])
    )
    stir(model, generator)
    for block, attention, mlp in zip(model.network.blocks, model.attention, model.mlp, strict=True):
        assert block.norm1.adapter is attention and block.norm2.adapter is mlp
    adapter, x = model.mlp[0], torch.randn(3, ARCH.dim, generator=generator)
    inner = (x @ adapter.down) * adapter.coefficients
    wanted = x + inner @ adapter.down.t() + adapter.bias
    torch.testing.assert_close(adapter.eval()(x), wanted)
    torch.manual_seed(0)
    found = adapter.train()(x)
    torch.manual_seed(0)
    kept = torch.nn.functional.dropout(inner, 0.1)
    assert not torch.equal(kept, inner)
    torch.testing.assert_close(found, x + kept @ adapter.down.t() + adapter.bias)
    assert not splits_whole(Adapted(Network(replace(ARCH, hidden=(48,))), 7, 6, False, generator))


def test_a_matrix_is_shared_by_all_blocks_and_nothing_else_is_trained():
    _, model = drawn("dense")
    assert len({id(a.down) for a in adapters_of(model.network)}) == 2
    dim, rank, depth = ARCH.dim, 6, ARCH.depth
    assert model.trained == 2 * dim * rank + 2 * depth * (rank + dim) + 7 * (dim + 1)
    before = {n: p.clone() for n, p in model.network.named_parameters()}
    model.train()
    assert not model.network.norm.training and all(a.training for a in adapters_of(model.network))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.randn(4, 1, 24, 24)).square().sum().backward()
    optimizer.step()
    moved = {n for n, p in model.network.named_parameters() if not torch.equal(p, before[n])}
    assert moved and all("adapter" in n or "head" in n for n in moved)
