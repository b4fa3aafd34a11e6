"""Vision transformers as Programs, written by hand: bands or resident image, LayerNorm and FFN in
token tiles, K and V whole, attention and projection by query tiles. Only bytes matter here.
"""

from __future__ import annotations

from dataclasses import dataclass

from program_maker import Maker, rows

from mcuformer.program.buffers import Buffer, Span
from mcuformer.program.calls import Loop, Step
from mcuformer.program.expressions import Expr, var
from mcuformer.program.program import Program


@dataclass(frozen=True)
class Vit:
    tokens_across: int = 14
    patch: int = 16
    width: int = 192
    blocks: int = 12
    heads: int = 3
    classes: int = 1000
    tile: int = 64
    ratio: int = 4
    by_head: bool = False
    resident: bool = False

    @property
    def tokens(self) -> int:
        return self.tokens_across**2 + 1


def vit(spec: Vit) -> Program:
    """The whole network. Resident: the image lies one band behind the tokens that overwrite it."""
    m = Maker()
    e, t = spec.width, spec.tokens
    line = spec.tokens_across * spec.patch * 3
    band = spec.patch * line
    band_tokens = spec.tokens_across
    image_bytes = spec.tokens_across * band
    lead = (band_tokens + 1) * e + (-(band_tokens + 1) * e) % 8
    x = m.buffer("x", max(t * e, lead + image_bytes) if spec.resident else t * e)
    steps: list[Step] = []
    embed = m.layer(
        "patch_embed", "q_patch_embed", (t, e), t * e * spec.patch**2 * 3, e * spec.patch**2 * 3
    )
    panel = m.buffer("panel", 8 * spec.patch**2 * 3, "scratch")
    write = rows(x, e, var("b") * band_tokens + 1, var("b_n") * band_tokens)
    if spec.resident:
        taken = Span("x", var("b") * band + lead, band, band, var("b_n"))
        body: list[Step] = [m.call("mcf_linear", embed, [taken], [write], [panel])]
    else:
        lines = m.buffer("band", band)
        body = [
            m.call("read_lines", embed, [], [Span.whole(lines)]),
            m.call("mcf_linear", embed, [Span.whole(lines)], [write], [panel]),
        ]
    steps.append(Loop("b", spec.tokens_across, 1, tuple(body), "patch embedding"))
    steps.append(m.call("mcf_copy", embed, [], [rows(x, e)]))
    for b in range(spec.blocks):
        attend = _by_head if spec.by_head else _keep_kv
        steps += attend(m, spec, x, f"blocks.{b}")
        steps += _ffn(m, spec, x, f"blocks.{b}")
    head = m.layer("head", "q_linear", (1, spec.classes), e * spec.classes, e * spec.classes)
    n = m.buffer("norm", e)
    out = m.buffer("logits", spec.classes, "output")
    steps.append(m.call("mcf_layernorm", head, [rows(x, e)], [Span.whole(n)]))
    steps.append(m.call("mcf_linear", head, [Span.whole(n)], [Span.whole(out)], [panel]))
    program = m.program(steps, "logits")
    if spec.resident:
        return m.program(steps, "logits", "x")
    return program


def _keep_kv(m: Maker, s: Vit, x: Buffer, name: str) -> list[Step]:
    e, t, d = s.width, s.tokens, s.width // s.heads
    norm, qkv, att, proj = (
        m.layer(f"{name}.{p}", k, (t, e), t * e * e, e * e)
        for p, k in (
            ("norm1", "q_layernorm"),
            ("attn.qkv", "q_linear"),
            ("attn", "q_attention"),
            ("attn.proj", "q_linear"),
        )
    )
    kv = m.buffer(f"{name}.kv", 2 * t * e)
    n1, n2 = m.buffer(f"{name}.norm1", s.tile * e), m.buffer(f"{name}.norm1q", s.tile * e)
    q, o = m.buffer(f"{name}.q", s.tile * e), m.buffer(f"{name}.o", s.tile * e)
    scores, panel = (
        m.buffer(f"{name}.scores", 2 * t, "scratch"),
        m.buffer(f"{name}.panel", 8 * e, "scratch"),
    )
    tile, now = rows(x, e, var("t"), var("t_n")), var("t_n")
    whole = Expr(t)
    fill = Loop(
        "t",
        t,
        s.tile,
        (
            m.call(
                "mcf_layernorm", norm, [tile], [rows(n1, e, 0, now)], instructions=8 * s.tile * e
            ),
            m.call(
                "mcf_linear",
                qkv,
                [rows(n1, e, 0, now)],
                [rows(kv, 2 * e, var("t"), now)],
                [panel],
                instructions=s.tile * e * e,
                weights=2 * e * e,
            ),
        ),
    )
    heads = Loop(
        "h",
        s.heads,
        1,
        (
            m.call(
                "mcf_attention",
                att,
                [
                    Span(q.name, var("h") * d, e, d, now),
                    Span(kv.name, var("h") * d, 2 * e, d, whole),
                    Span(kv.name, var("h") * d + e, 2 * e, d, whole),
                ],
                [Span(o.name, var("h") * d, e, d, now)],
                [scores],
                instructions=2 * t * s.tile * d,
            ),
        ),
    )
    run = Loop(
        "t",
        t,
        s.tile,
        (
            m.call(
                "mcf_layernorm", norm, [tile], [rows(n2, e, 0, now)], instructions=8 * s.tile * e
            ),
            m.call(
                "mcf_linear",
                qkv,
                [rows(n2, e, 0, now)],
                [rows(q, e, 0, now)],
                [panel],
                instructions=s.tile * e * e,
                weights=e * e,
            ),
            heads,
            m.call(
                "mcf_linear",
                proj,
                [rows(o, e, 0, now), tile],
                [tile],
                [panel],
                overwrites=True,
                instructions=s.tile * e * e,
                weights=e * e,
            ),
        ),
    )
    return [fill, run]


def _by_head(m: Maker, s: Vit, x: Buffer, name: str) -> list[Step]:
    """q of every head whole, overwritten head by head by the output; K and V of one head."""
    e, t, d = s.width, s.tokens, s.width // s.heads
    norm, qkv, att, proj = (
        m.layer(f"{name}.{p}", k, (t, e), t * e * e, e * e)
        for p, k in (
            ("norm1", "q_layernorm"),
            ("attn.qkv", "q_linear"),
            ("attn", "q_attention"),
            ("attn.proj", "q_linear"),
        )
    )
    q = m.buffer(f"{name}.q", t * e)
    k, v = m.buffer(f"{name}.k", t * d), m.buffer(f"{name}.v", t * d)
    scores = m.buffer(f"{name}.scores", 2 * t, "scratch")
    tile, now = rows(x, e, var("t"), var("t_n")), var("t_n")

    def normed(suffix: str, *then: tuple[Buffer, int]) -> Loop:
        n = m.buffer(f"{name}.norm1.{suffix}", s.tile * e)
        calls = [
            m.call("mcf_linear", qkv, [rows(n, e, 0, now)], [rows(b, w, var("t"), now)])
            for b, w in then
        ]
        return Loop(
            "t", t, s.tile, (m.call("mcf_layernorm", norm, [tile], [rows(n, e, 0, now)]), *calls)
        )

    steps: list[Step] = [normed("q", (q, e))]
    for h in range(s.heads):
        own = rows(q, d, 0, t, at=h * d, stride=e)
        steps += [
            normed(str(h), (k, d), (v, d)),
            m.call(
                "mcf_attention",
                att,
                [own, rows(k, d, 0, t), rows(v, d, 0, t)],
                [own],
                [scores],
                overwrites=True,
            ),
        ]
    mine = rows(q, e, var("t"), now)
    steps.append(
        Loop("t", t, s.tile, (m.call("mcf_linear", proj, [mine, tile], [tile], overwrites=True),))
    )
    return steps


def _ffn(m: Maker, s: Vit, x: Buffer, name: str) -> list[Step]:
    e, t = s.width, s.tokens
    wide = s.ratio * e
    norm, fc1, fc2 = (
        m.layer(f"{name}.{p}", k, (t, w), t * e * w, e * w)
        for p, k, w in (
            ("norm2", "q_layernorm", e),
            ("mlp.fc1", "q_linear", wide),
            ("mlp.fc2", "q_linear", wide),
        )
    )
    n, h = m.buffer(f"{name}.norm2", s.tile * e), m.buffer(f"{name}.hidden", s.tile * wide)
    panel = m.buffer(f"{name}.mlp.panel", 8 * wide, "scratch")
    tile, now = rows(x, e, var("t"), var("t_n")), var("t_n")
    return [
        Loop(
            "t",
            t,
            s.tile,
            (
                m.call(
                    "mcf_layernorm", norm, [tile], [rows(n, e, 0, now)], instructions=8 * s.tile * e
                ),
                m.call(
                    "mcf_linear",
                    fc1,
                    [rows(n, e, 0, now)],
                    [rows(h, wide, 0, now)],
                    [panel],
                    instructions=s.tile * e * wide,
                    weights=e * wide,
                ),
                m.call(
                    "mcf_linear",
                    fc2,
                    [rows(h, wide, 0, now), tile],
                    [tile],
                    [panel],
                    overwrites=True,
                    instructions=s.tile * e * wide,
                    weights=e * wide,
                ),
            ),
        )
    ]
