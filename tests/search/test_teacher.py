"""Teachers: a training directory or an ONNX model, the same answers; what does not fit is refused."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("onnxruntime", reason="the extra `validate` (onnxruntime) is not installed")

from test_train import SPACE, small_data

from mcuformer.errors import UsageError
from mcuformer.search import sandwich
from mcuformer.search.finish import export
from mcuformer.search.net import Network, initialise
from mcuformer.search.supernet import Supernet
from mcuformer.search.teacher import load_teacher
from mcuformer.search.train import Recipe, Trainer, distilled_loss

CPU = torch.device("cpu")


@pytest.fixture
def trained(tmp_path):
    data = replace(small_data(), mean=(0.3,), std=(0.25,))
    network = Network(SPACE.largest())
    initialise(network, torch.Generator().manual_seed(0))
    recipe = Recipe(epochs=1, batch=32)
    Trainer(network, data, recipe, tmp_path / "teacher").run()
    info = {"arch": network.arch.as_dict(), "mean": data.mean, "std": data.std}
    (tmp_path / "teacher" / "train.json").write_text(json.dumps(info))
    export(network, data, tmp_path / "teacher.onnx")
    return tmp_path


def test_a_folder_and_its_export_give_the_same_answers(trained):
    data = small_data()  # normalised otherwise than the teacher was
    folder, model = (load_teacher(trained / n, data, CPU) for n in ("teacher", "teacher.onnx"))
    pixels = torch.from_numpy(data.train.x[:5]).float() / 255
    own, seen = (pixels - 0.3) / 0.25, (pixels - data.mean[0]) / data.std[0]
    with torch.no_grad():
        expected = folder.network(own)
        assert torch.allclose(folder(seen), expected, atol=1e-4)
        assert torch.allclose(model(seen), expected, atol=1e-4)
    assert not any(p.requires_grad for p in folder.parameters())


def test_a_teacher_changes_what_is_learned(trained, tmp_path):
    data, recipe = small_data(), Recipe(epochs=1, batch=32)
    teacher = load_teacher(trained / "teacher", data, CPU)
    losses = []
    for name, loss in (("a", sandwich.Sandwich()), ("b", sandwich.Sandwich(teacher))):
        net = Supernet(SPACE, torch.Generator().manual_seed(0))
        trainer = Trainer(net, data, recipe, tmp_path / name, loss)
        trainer.run()
        losses.append(trainer.losses)
    network = Network(SPACE.smallest())
    initialise(network, torch.Generator().manual_seed(0))
    alone = Trainer(network, data, recipe, tmp_path / "c", distilled_loss(teacher))
    alone.run()
    assert losses[0] != losses[1] and alone.losses[0] > 0


def test_what_is_no_teacher_is_refused_with_its_reason(trained):
    data = small_data()
    broken = trained / "broken.onnx"
    broken.write_bytes(b"no model")
    cases = [
        ("nowhere", data, "does not exist"),
        ("broken.onnx", data, "is no ONNX model"),
        ("teacher.onnx", replace(data, classes=("a", "b")), "has 10 classes, the data 2"),
        ("teacher", replace(data, classes=("a", "b")), "has 10 classes, the data 2"),
        (".", data, "holds no training"),
    ]
    for name, other, message in cases:
        with pytest.raises(UsageError, match=message):
            load_teacher(trained / name, other, CPU)
