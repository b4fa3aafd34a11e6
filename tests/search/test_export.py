"""Networks of a space, exported by either of torch's exporters, are the same function in our frontend."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from test_train import small_data

from mcuformer.frontend import load_model
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import to_canonical
from mcuformer.search.finish import export
from mcuformer.search.space import load_space
from mcuformer.search.supernet import Supernet

CHOICES = {
    "patches": {"patch": 8, "pool": "mean"},
    "padded, class token, relative": {"patch": 5, "pool": "cls", "relative": True},
    "low rank": {"rank_qkv": 0.5, "rank_proj": 0.5, "rank_fc1": 0.25, "rank_fc2": 0.25},
    "convolutions": {"stem": "8/2", "patch": 4},
}


def materialised(case):
    """A subnet of a supernet whose biases, norms and batch norms are not what they start as."""
    space = load_space("tiny").with_choices(
        patch=(8, 5, 4), stem=("patch",), depth=(1, 2), dim=(16, 32)
    )
    if case == "convolutions":
        space = space.with_choices(patch=(4,), stem=("8/2",))
    net = Supernet(space, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, t in (*net.named_parameters(), *net.named_buffers()):
            if t.is_floating_point():
                t.add_(0.05 * torch.randn(t.shape, generator=generator).abs())
    arch = replace(space.smallest(), dim=32, hidden=(32, 64), heads=2, **CHOICES[case])
    return net.materialise(arch).eval()


def check(case, path, dynamo):
    network, data = materialised(case), small_data(16)
    export(network, data, path, dynamo)
    x = np.random.default_rng(0).normal(size=(4, 1, 24, 24)).astype(np.float32)
    graph = load_model(path, {})
    found = None
    for op, env in eval_steps(graph, to_canonical(graph, x)):
        found = env[op.outputs[0]]
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    assert np.abs(found.reshape(expected.shape) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("case", CHOICES)
def test_the_older_exporter(tmp_path, case):
    check(case, tmp_path / "model.onnx", dynamo=False)


@pytest.mark.long
@pytest.mark.parametrize("case", CHOICES)
def test_the_newer_exporter(tmp_path, case):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    check(case, tmp_path / "model.onnx", dynamo=True)
