"""What is adapted: which folders and files hold a network, and that their images can be normalised."""

import re
from types import SimpleNamespace

import onnx
import pytest

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from test_adapters import drawn
from test_train import small_data

from mcuformer.errors import UsageError
from mcuformer.search import backbone
from mcuformer.search.backbone import load_backbone
from mcuformer.search.finish import export
from mcuformer.search.teacher import load_teacher

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mean", "0.4,0.4", "2 means and 1 deviations, not 1"),
        ("mean", "nan", "normalise nothing"),
        ("std", "0", "normalise nothing"),
        ("std", "much", "could not convert"),
    ],
)
def test_a_file_whose_images_cannot_be_normalised(tmp_path, key, value, said):
    path = tmp_path / "base.onnx"
    export(drawn("dense")[0], small_data(16), path)
    proto = onnx.load(path)
    notes = {p.key: p.value for p in proto.metadata_props} | {f"mcuformer.{key}": value}
    onnx.helper.set_model_props(proto, notes)
    onnx.save(proto, path)
    for read in (load_backbone, lambda p: load_teacher(p, small_data(16), CPU)):
        with pytest.raises(UsageError, match=f"images are normalised: .*{said}"):
            read(path)


def test_a_family_without_blocks_is_refused_by_its_name(tmp_path, monkeypatch):
    """Not as a folder that is damaged."""
    other = SimpleNamespace(arch=SimpleNamespace(family="hrformer"))
    monkeypatch.setattr(backbone, "trained_network", lambda directory: (other, {}))
    (tmp_path / "train.json").touch()
    with pytest.raises(
        UsageError, match=f"^{re.escape(str(tmp_path))} holds a network of the family hrformer"
    ):
        load_backbone(tmp_path)


def test_a_folder_without_a_network(tmp_path):
    with pytest.raises(UsageError, match="holds no network"):
        load_backbone(tmp_path)
