"""Each rewrite before quantisation: what it changes, what it leaves, and that results stay."""

from collections.abc import Callable

import numpy as np
import pytest
import util_models as models

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import to_canonical
from mcuformer.quant.rewrites.add_before_reshape import add_before_reshape
from mcuformer.quant.rewrites.average_pool import average_pool
from mcuformer.quant.rewrites.fold_layernorm_affine import fold_layernorm_affine
from mcuformer.quant.rewrites.free_norms import free_norms
from mcuformer.quant.rewrites.fuse_epilogue import fuse_epilogue
from mcuformer.quant.rewrites.merge_groups import merge_groups
from mcuformer.quant.rewrites.norm_after_selection import norm_after_selection
from mcuformer.quant.rewrites.patch_embed import patch_embed
from mcuformer.quant.rewrites.rotate_stream import rotate_stream, rotation

CFG = models.VitConfig()


def result(graph: Graph) -> np.ndarray:
    shape = graph.type(graph.inputs[0]).shape
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    *_, (_, env) = eval_steps(graph, x)
    return env[graph.outputs[0]]


def applied(rewrite: Callable[[Graph], Graph], graph: Graph) -> Graph:
    """The rewritten graph, with the same result and without dangling values."""
    done = rewrite(graph)
    np.testing.assert_allclose(result(done), result(graph), rtol=1e-3, atol=1e-5)
    assert len(done.pruned().ops) == len(done.ops)
    return done


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def norms(graph: Graph) -> list[int]:
    """Number of inputs of every LayerNorm."""
    return [sum(n is not None for n in op.inputs) for op in graph.ops if op.kind == "layernorm"]


def pooled(pads: tuple[int, ...]) -> Graph:
    net = models.Net("pool", 0)
    net.image("x", 6, 6, 4)
    y = net.emit(
        "avgpool",
        "pool",
        ["x"],
        (3 + any(pads), 3 + any(pads), 4),
        kernel=(2, 2),
        strides=(2, 2),
        pads=pads,
    )
    return net.b.done(["x"], [y], {})


def test_average_pool() -> None:
    assert kinds(applied(average_pool, pooled((0, 0, 0, 0)))) == ["conv2d"]
    assert kinds(average_pool(pooled((1, 1, 1, 1)))) == ["avgpool"]


def grouped(group: int, outputs: int, channels: int = 4) -> Graph:
    net = models.Net("conv", 0)
    net.image("x", 5, 5, channels)
    y = net.conv("x", outputs, "conv", kernel=3, stride=1, pad=1, group=group)
    return net.b.done(["x"], [y], {})


@pytest.mark.parametrize(
    ("channels", "group", "outputs", "left", "inputs"),
    [(4, 2, 6, 2, 2), (12, 6, 12, 3, 4), (9, 9, 18, 9, 1), (8, 8, 16, 4, 2), (6, 3, 3, 1, 6)],
)
def test_merge_groups(channels: int, group: int, outputs: int, left: int, inputs: int) -> None:
    """As many as fill 4 outputs, where that divides them."""
    merged = applied(merge_groups, grouped(group, outputs, channels))
    assert merged.ops[0].attrs["group"] == left
    assert merged.type(str(merged.ops[0].inputs[1])).shape == (3, 3, inputs, outputs)


def test_depthwise_groups_stay() -> None:
    assert applied(merge_groups, grouped(4, 4)).ops[0].attrs["group"] == 4


def test_patch_embed() -> None:
    before = models.vit(CFG)
    done = applied(patch_embed, before)
    assert kinds(done)[0] == "patch_embed" and "reshape" not in kinds(done)
    stem = models.vit(models.VitConfig(stem=True))
    assert "patch_embed" not in kinds(applied(patch_embed, stem))


def test_an_image_of_another_form_is_no_patch_embedding() -> None:
    """Channels stay, but the pixels of [1, 4] lie as [2, 2] before the next convolution."""
    net = models.Net("folded", 0)
    net.image("x", 3, 12, 2)
    y = net.emit("reshape", "fold", [net.conv("x", 5, "conv", 3, 3, 0)], (2, 2, 5))
    graph = net.b.done(["x"], [y], {})
    assert kinds(applied(patch_embed, graph)) == ["conv2d", "reshape"]


def test_add_before_reshape() -> None:
    stem = applied(patch_embed, models.vit(models.VitConfig(stem=True)))
    done = applied(add_before_reshape, stem)
    order = kinds(done)
    assert order.index("add") < order.index("reshape") < kinds(stem).index("add") + 1
    patches = patch_embed(models.vit(CFG))
    assert kinds(add_before_reshape(patches)) == kinds(patches)


def test_norm_after_selection() -> None:
    done = applied(norm_after_selection, models.vit(CFG))
    made = done.producers()
    picked = [op for op in done.ops if op.kind == "slice"]
    assert picked and all(made[str(op.inputs[0])].kind != "layernorm" for op in picked)


def test_fold_layernorm_affine() -> None:
    graph = models.vit(CFG)
    assert set(norms(graph)) == {3}
    selected = applied(norm_after_selection, graph)
    assert set(norms(applied(fold_layernorm_affine, selected))) == {1}
    post = models.vit(models.VitConfig(pre_norm=False))  # a residual sum reads the norm
    assert norms(applied(fold_layernorm_affine, post))[:-1] == [3, 3, 3]
    name = next(op.outputs[0] for op in graph.ops if op.kind == "layernorm")
    assert norms(fold_layernorm_affine(graph, {name}))[0] == 3


def test_fuse_epilogue() -> None:
    graph = models.vit(CFG)
    done = applied(lambda g: fuse_epilogue(patch_embed(g)), graph)
    assert "unary" not in kinds(done) and "add" not in kinds(done)
    assert [op.attrs["fn"] for op in done.ops if op.kind == "linear"].count("gelu") == CFG.blocks
    residuals = [op.inputs[3] for op in done.ops if op.kind == "linear" and op.inputs[3]]
    assert len(residuals) == 2 * CFG.blocks


def test_fuse_epilogue_leaves_a_sum_that_others_read() -> None:
    net = models.Net("two", 0)
    net.tokens("x", 5, 4)
    h = net.linear("x", 4, "a")
    y = net.add(net.unary(h, "gelu", "act"), h, "sum")
    assert kinds(applied(fuse_epilogue, net.b.done(["x"], [y], {}))) == ["linear", "unary", "add"]


def test_two_layers_in_one_sum() -> None:
    net = models.Net("two", 0)
    net.tokens("x", 5, 4)
    y = net.add(net.linear("x", 4, "a"), net.linear("x", 4, "b"), "sum")
    done = applied(fuse_epilogue, net.b.done(["x"], [y], {}))
    assert kinds(done) == ["linear", "linear"] and done.ops[1].inputs[3] == "a"


def ready(graph: Graph) -> Graph:
    graph = norm_after_selection(patch_embed(graph))
    return fuse_epilogue(fold_layernorm_affine(graph))


def test_rotation_keeps_the_ones() -> None:
    for size in (1, 2, 7, 16, 192):
        q = rotation(size)
        np.testing.assert_allclose(q @ q.T, np.eye(size), atol=1e-12)
        np.testing.assert_allclose(np.ones(size) @ q, np.ones(size), atol=1e-12)


def test_rotate_stream() -> None:
    for pool in ("token", "mean", "none"):
        graph = ready(models.vit(models.VitConfig(pool=pool)))
        done = applied(rotate_stream, graph)
        stream = next(op.inputs[0] for op in done.ops if op.kind == "layernorm")
        assert stream in done.meta["rotated"] or pool == "none"
    stem = ready(models.vit(models.VitConfig(stem=True)))
    assert applied(rotate_stream, stem).meta["rotated"]


def test_a_layer_between_two_streams_turns_with_both() -> None:
    net = models.Net("chain", 0)
    net.tokens("x", 5, 7)
    x = net.linear("x", 9, "in")
    for name, width in (("a", 8), ("b", 6), ("c", 4)):
        x = net.linear(net.layernorm(x, f"norm_{name}"), width, name)
    graph = fuse_epilogue(fold_layernorm_affine(net.b.done(["x"], [x], {})))
    assert len(applied(rotate_stream, graph).meta["rotated"]) == 3


def test_streams_that_cannot_turn() -> None:
    """Post-norm reads the norm in a sum; a sequence model's stream is its input; given scales."""
    post = ready(models.vit(models.VitConfig(pre_norm=False)))
    assert applied(rotate_stream, post).meta["rotated"] == ()
    sequence = ready(models.sequence_model(CFG, 5))
    assert applied(rotate_stream, sequence).meta["rotated"] == ()
    plain = ready(models.vit(CFG))
    stream = next(str(op.inputs[0]) for op in plain.ops if op.kind == "layernorm")
    assert rotate_stream(plain, {stream}).meta["rotated"] == ()


def test_free_norms() -> None:
    sequence = rotate_stream(ready(models.sequence_model(CFG, 5)))
    assert set(norms(applied(free_norms, sequence))) == {2}
    turned = rotate_stream(ready(models.vit(CFG)))
    assert set(norms(applied(free_norms, turned))) == {1}
    assert to_canonical(turned, models.images(CFG, 1))[0].shape == (1, 12, 12, 3)
