"""Slices of one network: which they are, what they learn from, and that an export is one."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn

from mcuformer.cli import invoke
from mcuformer.errors import UsageError
from mcuformer.search.arch import Arch
from mcuformer.search.net import Network, initialise
from mcuformer.search.slimmable import (
    ScaleCoordination,
    Widths,
    arch_at,
    at_width,
    parse_ratios,
)

ARCH = Arch(
    image=(8, 8, 1), classes=10, stem="patch", patch=4, pool="cls", relative=False, dim=32, heads=2,
    head_dim=16, hidden=(64, 64),
)  # fmt: skip
FOUR = Widths((0.25, 0.5, 0.75, 1.0))


def network() -> Network:
    made = Network(ARCH)
    initialise(made, torch.Generator().manual_seed(0))
    return made


@pytest.mark.parametrize(
    ("text", "wanted"),
    (
        ("0.25:1:0.25", (0.25, 0.5, 0.75, 1.0)),
        ("0.25:1:0.125", tuple(i / 8 for i in range(2, 9))),
        ("1,0.5", (0.5, 1.0)),
        ("0.5,0.5,0.5000001,1", (0.5, 1.0)),
        ("0.3333:1:0.3333", (0.3333, 0.66665, 1.0)),
    ),
)
def test_ratios(text: str, wanted: tuple[float, ...]) -> None:
    assert parse_ratios(text) == wanted


@pytest.mark.parametrize(
    "text",
    (
        "1", "0:1:0.5", "0.5,0.75", "a:b:c", "0.5:1:0", "1:0.5:0.25", "1:0.5:-0.25", "0.5,nan,1", "0.5,1,nan",
        "nan,0.5,1", "0.5:1:nan", "0.5:inf:0.1", "0.5:1:inf", "0.0000001,1", "0.5:1:1e-12", "0.5:1:5e-324",
        "-0.5,1", "0.5,1,2", "0.5:1:0.4", "0.25:1", "", "1,1",
    ),
)  # fmt: skip
def test_no_ratios(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ratios(text)


def test_the_ends_are_first_channels_and_the_others_last() -> None:
    full = network()
    qkv = full.state_dict()["blocks.0.attn.qkv.weight"]
    for ratio in (0.25, 0.5, 0.75):
        own = at_width(full, FOUR, ratio).state_dict()["blocks.0.attn.qkv.weight"]
        n, k = own.shape
        assert (n, k) == (96 * ratio, 32 * ratio)
        wanted = qkv[:n, :k] if ratio == 0.25 else qkv[96 - n :, 32 - k :]
        assert torch.equal(own, wanted)
    nested = at_width(full, Widths(FOUR.ratios, nested=True), 0.5).state_dict()
    assert torch.equal(nested["blocks.0.attn.qkv.weight"], qkv[:48, :16])


def test_heads_and_their_scale_are_the_full_ones() -> None:
    half = at_width(network(), FOUR, 0.5)
    attention = half.blocks[0].attn
    assert (half.arch.heads, half.arch.head_dim) == (2, 8)
    assert attention.scale == 16**-0.5  # type: ignore[union-attr]


def test_four_widths_draw_from_both_halves() -> None:
    """The published code draws from an empty range here."""
    assert FOUR.drawn(Random(0)) == [1.0, 0.75, 0.5, 0.25]
    seen = {tuple(Widths(parse_ratios("0.25:1:0.125")).drawn(Random(i))) for i in range(50)}
    assert all(d[0] == 1 and d[1] >= 0.625 > d[2] and d[3] == 0.25 for d in seen)
    assert len(seen) == 6
    assert Widths((0.5, 1.0)).drawn(Random(0)) == [1.0, 0.5]


def test_a_step_moves_what_every_width_has() -> None:
    full = network()
    x, y = torch.randn(4, 1, 8, 8), torch.eye(10)[:4]
    loss = ScaleCoordination(FOUR, epochs=20)
    loss(full, x, y, Random(0))
    alone = full.blocks[0].fc1.weight.grad.clone()  # type: ignore[union-attr, operator]
    full.zero_grad()
    loss.begin_epoch(2)  # behind the warm-up, a tenth
    loss(full, x, y, Random(0))
    moved = full.blocks[0].fc1.weight.grad - alone  # type: ignore[union-attr, operator]
    assert bool((moved[:16, :8] != 0).any())  # the smallest
    assert bool((moved[-48:, -24:] != 0).any())
    assert not bool(moved[:16, 8:].any())  # of the full width alone


def test_each_width_learns_from_the_next_larger_one() -> None:
    """The gradients are those of the paper's losses, written out: labels for the full width; for each other
    one its distance from the next larger drawn one's answers, to which nothing goes back, and the labels."""
    full, one = network(), network()
    x, y = torch.randn(4, 1, 8, 8), torch.eye(10)[:4]
    loss = ScaleCoordination(FOUR, epochs=1)
    told = loss(full, x, y, Random(0))
    weights = dict(one.named_parameters())
    answers = {r: loss._answers(one, weights, r, x) for r in FOUR.ratios}
    losses = [-(y * answers[r].log_softmax(1)).sum(1).mean() for r in FOUR.ratios]
    torch.testing.assert_close(told, losses[-1].detach())
    for small, large in ((0.75, 1.0), (0.5, 0.75), (0.25, 0.5)):
        wanted = answers[large].detach().softmax(1)
        losses.append((wanted * (wanted.log() - answers[small].log_softmax(1))).sum(1).mean())
    torch.stack(losses).sum().backward()
    for (name, got), (_, p) in zip(full.named_parameters(), one.named_parameters(), strict=True):
        torch.testing.assert_close(got.grad, p.grad, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(("epochs", "alone"), [(1, 0), (9, 0), (15, 1), (30, 3), (100, 10)])
def test_the_full_width_is_alone_for_a_tenth_of_the_epochs_at_most(epochs: int, alone: int) -> None:
    def widths_of_epoch(epoch: int) -> int:
        loss = ScaleCoordination(FOUR, epochs)
        loss.begin_epoch(epoch)
        loss(network(), torch.randn(1, 1, 8, 8), torch.eye(10)[:1], Random(0))
        return 1 + len(loss._skeletons)

    found = [widths_of_epoch(e) for e in sorted({0, max(alone - 1, 0), alone})]
    assert found == [1] * (len(found) - 1) + [4] if alone else found == [4]


def test_a_width_computes_what_its_slices_do() -> None:
    full, x = network().eval(), torch.randn(2, 1, 8, 8)
    loss = ScaleCoordination(FOUR, epochs=1)
    weights = dict(full.named_parameters())
    for ratio in FOUR.ratios:
        got = loss._answers(full, weights, ratio, x)
        torch.testing.assert_close(got, at_width(full, FOUR, ratio).eval()(x))
    assert isinstance(full, nn.Module)


def test_widths_that_have_no_heads_are_refused() -> None:
    with pytest.raises(UsageError, match="equal heads"):
        arch_at(ARCH, 0.3)
    with pytest.raises(UsageError, match="not trained at width"):
        at_width(network(), FOUR, 0.4)


@pytest.mark.long
def test_a_training_leaves_files_that_compile_together(tmp_path: Path) -> None:
    """One epoch of digits, from the command line to the package's report."""
    arch = {**ARCH.as_dict(), "pool": "mean", "hidden": [64]}
    (tmp_path / "arch.json").write_text(json.dumps(arch))
    run, package = tmp_path / "run", tmp_path / "package"
    args = ["train", str(tmp_path / "arch.json"), "--data", "digits", "-o", str(run), "--epochs", "1",
            "--slimmable", "--ratios", "0.5:1:0.25", "--threads", "1"]  # fmt: skip
    assert invoke(args) == 0
    info = json.loads((run / "train.json").read_text())["slimmable"]
    assert info["ratios"] == [0.5, 0.75, 1.0] and set(info["validation"]) == {"0.5", "0.75", "1"}
    data = tmp_path / "data.npz"
    half = ["export", str(run), "--ratio", "0.5", "-o", str(tmp_path / "half.onnx")]
    assert invoke([*half, "--calibration", str(data)]) == 0
    args = ["compile", str(run), "--operating-points", "0.5,0.75,1", "--board", "host", "-o",
            str(package), "--calibration", str(data), "--accept-sqnr", "0"]  # fmt: skip
    assert invoke(args) == 0
    report = json.loads((package / "report.json").read_text())
    assert [v["label"] for v in report["variants"]] == ["0.5", "0.75", "1"]
    assert invoke(["export", str(run), "--ratio", "0.6", "-o", str(tmp_path / "x.onnx")]) == 2
    assert not (tmp_path / "x.onnx").exists()
