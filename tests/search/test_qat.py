"""Training with rounding: the same grid as the integer code, and what it is worth."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")

import torch

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.quantise import measured, quantised
from mcuformer.compile.source import read_source
from mcuformer.frontend import load_model
from mcuformer.ir.types import QParams
from mcuformer.operators.interpreter import run_int
from mcuformer.quant import gptq
from mcuformer.search.checkpoint import weights_sha256
from mcuformer.search.data import load
from mcuformer.search.fake_quant import TorchGrid, rounded_weights, weight_scale
from mcuformer.search.finish import calibration, export
from mcuformer.search.net import Network, initialise
from mcuformer.search.qat import Rounded, qat_recipe, train_rounded
from mcuformer.search.space import load_space
from mcuformer.search.teacher import trained_network
from mcuformer.search.train import Recipe, Trainer, normalised
from mcuformer.search.train_one import export_one, train_one

CPU = torch.device("cpu")
SPACE = load_space("tiny")
DIGITS = load("digits")


def made(**changes):
    """A network whose norms, biases and tables are not what they start as."""
    arch = replace(SPACE.smallest(), dim=32, hidden=(64, 32), heads=2, **changes)
    network = Network(arch).eval()
    generator = torch.Generator().manual_seed(0)
    initialise(network, generator)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    return network


def integer_graph(network, folder, kept=None, bits=8):
    model, images = folder / "model.onnx", folder / "calibration.npz"
    export(network, DIGITS, model, rounded=kept)
    calibration(DIGITS, images)
    options = CompileOptions(
        model=model, board="stm32f746", calibration=images, weight_bits=str(bits)
    )
    return quantised(measured(read_source(options), load_model(model, {}), True, lambda *_: None))[
        0
    ]


def integer_logits(graph, x):
    """Real logits [B, classes] of uint8 images [B,C,H,W]."""
    env = run_int(graph, np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    out = graph.outputs[0]
    return graph.type(out).qparams.dequantise(env[out])[:, 0]


def accuracy_of(graph, images):
    return 100 * float((integer_logits(graph, images.x).argmax(1) == images.y).mean())


def test_values_are_rounded_as_the_interpreter_rounds_them():
    q = QParams(np.array([0.25, 0.5]), np.array([3.0, -7.0]))
    x = np.linspace(-80, 80, 1281)[:, None] * np.ones(2)  # with all the halves
    grid = TorchGrid.of(q, "int8", CPU)
    expected = q.dequantise(q.quantise(x, "int8"))
    assert np.array_equal(grid.rounded(torch.tensor(x, dtype=torch.float32)).numpy(), expected)


def test_gradients_pass_rounding_and_stop_at_saturation():
    x = torch.tensor([0.3, 500.0, -500.0], requires_grad=True)
    TorchGrid.of(QParams(np.array(0.5), np.array(0.0)), "int8", CPU).rounded(x).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_have_the_scales_of_the_quantiser(bits):
    w = torch.randn(40, 24, generator=torch.Generator().manual_seed(1))
    scale = gptq.weight_scale(w.double().numpy(), bits)
    assert np.allclose(weight_scale(w, bits).numpy(), scale, rtol=1e-6)
    expected = scale * gptq.round_weights(w.double().numpy(), scale, bits)
    assert np.allclose(rounded_weights(w, bits).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "least_db"),
    [
        ({"patch": 8, "rank_qkv": 0.5, "relative": True}, 33),
        ({"patch": 4, "stem": "8/2"}, 33),
        ({"patch": 5, "pool": "cls", "rank_proj": 0.5}, 30),
    ],
)
def test_the_rounded_network_is_the_integer_code(tmp_path, changes, least_db):
    """What is left: fixed point inside LayerNorm, softmax and the GELU table."""
    network = made(**changes)
    rounded = Rounded(network, DIGITS)
    kept = rounded.snap()
    x = DIGITS.validation.x[:64]
    exact = integer_logits(integer_graph(network, tmp_path, kept), x)
    with torch.no_grad():
        found = rounded.evaluate(normalised(DIGITS, x, CPU)).numpy()
    noise = 10 * np.log10(np.square(exact).sum() / np.square(exact - found).sum())
    assert noise > least_db
    assert (found.argmax(1) == exact.argmax(1)).mean() >= 0.95


@pytest.mark.parametrize("bits", [8, 4])
def test_compile_finds_the_very_integers_that_training_left(tmp_path, bits):
    network = made(patch=8, rank_fc1=0.25)
    rounded = Rounded(network, DIGITS, bits)
    graph = integer_graph(network, tmp_path, rounded.snap(), bits)
    found = {op.name: graph.const(op.inputs[1]) for op in graph.ops if len(op.inputs) > 4}
    for op in rounded.graph.ops:
        if op.name in rounded.layers:
            w = rounded.layers[op.name].weights()[0].detach()
            scale = rounded.grids[op.inputs[0]].scale
            w = w * (scale if scale.ndim else scale.expand(w.shape[-2]))[:, None]
            w = w.reshape(-1, w.shape[-1])
            integers = (w / weight_scale(w, bits)).round()
            assert np.array_equal(integers.T.numpy(), found[op.name]), op.name


def trained_on_with_rounding(folder, seed):
    """Validation accuracies in percent: rounded afterwards, trained on with rounding, and what that said."""
    network = Network(replace(SPACE.smallest(), hidden=(32,), patch=4))
    initialise(network, torch.Generator().manual_seed(seed))
    recipe = Recipe(epochs=12, batch=64, lr=8e-3, optimizer="muon", seed=seed)
    Trainer(network, DIGITS, recipe, folder / "float").run()
    network.eval()
    before = accuracy_of(integer_graph(network, folder), DIGITS.validation)
    shorter = qat_recipe(recipe)
    assert shorter.epochs == 3 and shorter.lr < recipe.lr
    told, kept = train_rounded(network, DIGITS, shorter, folder / "qat")
    after = accuracy_of(integer_graph(network, folder, kept), DIGITS.validation)
    return before, after, told["validation"]


@pytest.mark.long
def test_training_with_rounding_is_no_worse_than_rounding_afterwards(tmp_path):
    """In the mean of three seeds: one image of 216 is half a point, and processors add in orders of their own."""
    seeds = [tmp_path / str(seed) for seed in (1, 2, 3)]
    for folder in seeds:
        folder.mkdir()
    found = np.array([trained_on_with_rounding(folder, int(folder.name)) for folder in seeds])
    before, after, told = found.T
    assert after.mean() >= before.mean()
    assert np.abs(after - told).mean() <= 1.0  # two of 216 images


def test_train_with_qat_is_exported_on_its_grid(tmp_path):
    (tmp_path / "arch.json").write_text(json.dumps(made(patch=8).arch.as_dict()))
    out = tmp_path / "out"
    told = train_one(
        tmp_path / "arch.json", "digits", out, Recipe(epochs=1), 1, None, lambda *_: None, qat=True
    )
    network, _ = trained_network(out)
    assert weights_sha256(network) == told["weights_sha256"] and told["qat"]["epochs"] == 1
    export_one(out, tmp_path / "model.onnx", None, False)
    notes = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert "mcuformer.rounded.0" in notes
