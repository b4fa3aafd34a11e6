import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.frontend import names


@pytest.mark.parametrize(
    ("node", "module"),
    [
        ("/blocks/blocks.0/attn/qkv/MatMul", "blocks.0.attn.qkv"),
        ("/model/vit/encoder/layer.0/output/Add", "model.vit.encoder.layer.0.output"),
        ("/Add", ""),
    ],
)
def test_torchscript_paths(node: str, module: str) -> None:
    assert names.module_of_path(node) == module


def test_dynamo_scopes() -> None:
    assert (
        names.module_of_scopes("['', 'blocks', 'blocks.0', 'blocks.0.norm1', 'layer_norm']")
        == "blocks.0.norm1"
    )
    assert names.module_of_scopes("['', 'add']") == ""
    assert names.module_of_scopes("garbage") == ""


@pytest.mark.parametrize(
    ("weight", "module"),
    [
        ("blocks.0.norm1.weight", "blocks.0.norm1"),
        ("pos_embed", ""),
        ("onnx::MatMul_12", ""),
        ("/a.b/c_output_0", ""),
    ],
)
def test_weights(weight: str, module: str) -> None:
    assert names.module_of_weight(weight) == module


@given(st.text(max_size=300))
def test_nothing_odd_comes_through(text: str) -> None:
    for clean in (
        names.plain(text),
        names.module_of_path(text),
        names.module_of_scopes(text),
        names.module_of_weight(text),
    ):
        assert len(clean) <= names.MAX_NAME and clean.isascii()
        assert all(c.isalnum() or c in "_." for c in clean)
    assert (
        all(c.isalnum() or c in "_./:-" for c in names.origin(text))
        and len(names.origin(text)) <= 200
    )
    assert names.shown(text).isprintable()
