"""`train --localize`: masks of a report on a network, exported as a bias, compiled as radii."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from test_train import small_data

from mcuformer.cli import invoke
from mcuformer.errors import UsageError
from mcuformer.frontend import load_model
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import to_canonical
from mcuformer.search.arch import Arch
from mcuformer.search.finish import export
from mcuformer.search.near import localise_network, read_radii
from mcuformer.search.net import Network, initialise

ARCH = dict(
    image=(24, 24, 1), classes=10, stem="patch", patch=6, relative=False, dim=16, heads=2,
    head_dim=8, hidden=(16, 16),
)  # fmt: skip


def network(pool: str = "mean", **more) -> Network:
    net = Network(Arch(**{**ARCH, "pool": pool, **more}))
    initialise(net, torch.Generator().manual_seed(0))
    return net.eval()


def report(path: Path, radii: dict[str, list[int]]) -> Path:
    layers = [{"layer": f"blocks.{i}.attn.attention", "radii": r} for i, r in radii.items()]
    path.write_text(json.dumps({"localisation": [{"layers": layers}] if radii else []}))
    return path


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_an_exported_mask_is_compiled_as_radii(tmp_path: Path, pool: str) -> None:
    net, file = network(pool), tmp_path / "model.onnx"
    localise_network(net, read_radii(report(tmp_path / "r.json", {"0": [1, 0]})))
    export(net, small_data(16), file, False)
    graph = load_model(file, {})
    near = [op.attrs for op in graph.ops if "radii" in op.attrs]
    assert [(a["radii"], a["grid"]) for a in near] == [((1, 0), (4, 4))]
    x = np.random.default_rng(0).normal(size=(3, 1, 24, 24)).astype(np.float32)
    *_, (op, env) = eval_steps(graph, to_canonical(graph, x))
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        env[op.outputs[0]].reshape(expected.shape), expected, rtol=1e-4, atol=1e-4
    )


def test_what_fits_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no near heads"):
        read_radii(report(tmp_path / "none.json", {}))
    with pytest.raises(UsageError, match="block 7"):
        localise_network(network(), {"7": [1, 1]})
    with pytest.raises(UsageError, match="block 0 with 3 heads"):
        localise_network(network(), {"0": [1, 1, 1]})
    with pytest.raises(UsageError, match="without relative positions"):
        localise_network(network(relative=True), {"0": [1, 1]})


def test_it_goes_on_for_two_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(network().arch.as_dict()))
    mask = report(tmp_path / "r.json", {"0": [1, 1]})
    words = ["train", str(file), "--data", "digits", "-o", str(tmp_path / "a")]
    assert invoke([*words, "--localize", str(mask), "--epochs", "2"]) == 2
    assert "goes on from a finished training" in capsys.readouterr().err
    assert invoke([*words, "--localize", str(mask), "--from", str(tmp_path)]) == 2
    assert "at most 2 epochs" in capsys.readouterr().err
