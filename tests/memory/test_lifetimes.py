"""The rules of lifetimes, one program each; positions are those of the calls in the text."""

from __future__ import annotations

from program_maker import Maker, rows
from vit_program import Vit, vit

from mcuformer.memory.lifetimes import Live, lifetimes
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop, Step
from mcuformer.program.expressions import Expr, var

T, N = var("t"), var("t_n")


def lives(m: Maker, steps: list[Step], source: str | None = None) -> dict[str, tuple[Live, ...]]:
    out = m.buffer("out", 8, "output")
    last = m.call("last", 0, [], [Span.whole(out)])
    return lifetimes(m.program([*steps, last], "out", source))


def test_straight_line() -> None:
    m = Maker()
    a, b = m.buffer("a", 16), m.buffer("b", 16)
    found = lives(
        m,
        [
            m.call("w", 0, [], [Span.whole(a)]),
            m.call("x", 0, [], []),
            m.call("r", 0, [Span.whole(a)], [Span.whole(b)]),
        ],
    )
    assert found["a"] == (Live(0, 2, 0, 16),)
    assert found["b"] == (Live(2, 2, 0, 16),)  # written, never read: its bytes are still clobbered
    assert found["out"] == (Live(3, 3, 0, 8),)


def test_a_tile_lives_within_the_body() -> None:
    m = Maker()
    x, tile, y = m.buffer("x", 70), m.buffer("tile", 30), m.buffer("y", 70)
    body = (
        m.call("before", 0, [rows(x, 10, T, N)], []),
        m.call("in", 0, [rows(x, 10, T, N)], [rows(tile, 10, 0, N)]),
        m.call("out", 0, [rows(tile, 10, 0, N)], [rows(y, 10, T, N)]),
        m.call("after", 0, [], []),
    )
    found = lives(
        m,
        [
            m.call("w", 0, [], [Span.whole(x)]),
            Loop("t", 7, 3, body),
            m.call("use", 0, [Span.whole(y)], []),
        ],
    )
    assert found["tile"] == (Live(2, 3, 0, 30),)
    assert found["x"] == (Live(0, 4, 0, 70),)
    assert found["y"] == (Live(1, 5, 0, 70),)


def test_what_an_iteration_leaves_for_the_next_lives_through_the_loop() -> None:
    m = Maker()
    total = m.buffer("total", 4)
    whole = Span.whole(total)
    found = lives(
        m,
        [
            m.call("init", 0, [], [whole]),
            Loop(
                "t",
                5,
                1,
                (
                    m.call("x", 0, [], []),
                    m.call("add", 0, [whole], [whole]),
                    m.call("x", 0, [], []),
                ),
            ),
            m.call("use", 0, [whole], []),
        ],
    )
    assert found["total"] == (Live(0, 4, 0, 4),)


def test_a_tile_written_in_part_keeps_the_rest_from_before() -> None:
    m = Maker()
    tile = m.buffer("tile", 30)
    body = (m.call("part", 0, [], [rows(tile, 10)]), m.call("use", 0, [rows(tile, 10, 0, 2)], []))
    found = lives(
        m, [m.call("w", 0, [], [Span.whole(tile)]), m.call("x", 0, [], []), Loop("t", 3, 1, body)]
    )
    assert found["tile"] == (Live(0, 0, 0, 30), Live(1, 3, 0, 20))


def test_a_buffer_written_anew_is_free_in_between() -> None:
    m = Maker()
    k = m.buffer("k", 70)
    fill = Loop("t", 7, 3, (m.call("fill", 0, [], [rows(k, 10, T, N)]),))
    use = m.call("use", 0, [Span.whole(k)], [])
    found = lives(m, [fill, use, m.call("x", 0, [], []), fill, use])
    assert found["k"] == (Live(0, 1, 0, 70), Live(3, 4, 0, 70))


def test_one_iteration_is_no_loop() -> None:
    m = Maker()
    a = m.buffer("a", 10)
    body = (
        m.call("x", 0, [], []),
        m.call("w", 0, [], [rows(a, 10, T, N)]),
        m.call("r", 0, [rows(a, 10, T, N)], []),
    )
    assert lives(m, [Loop("t", 1, 4, body)])["a"] == (Live(1, 2, 0, 10),)


def test_columns_of_two_heads_make_a_row() -> None:
    m = Maker()
    o = m.buffer("o", 32)
    heads = Loop("h", 2, 1, (m.call("head", 0, [], [Span("o", var("h") * 4, 8, 4, Expr(4))]),))
    body = (heads, m.call("use", 0, [Span.whole(o)], []), m.call("x", 0, [], []))
    assert lives(m, [Loop("t", 9, 3, body)])["o"] == (Live(0, 1, 0, 32),)


def test_scratch_matters_during_its_calls_only() -> None:
    m = Maker()
    s = m.buffer("s", 10, "scratch")
    a, b = m.call("a", 0, [], [], [s]), m.call("b", 0, [], [])
    assert lives(m, [a, b, b, a])["s"] == (Live(0, 0, 0, 10), Live(3, 3, 0, 10))


def test_the_output_lives_to_the_end() -> None:
    m = Maker()
    out = m.buffer("out", 8, "output")
    steps: list[Step] = [m.call("w", 0, [], [Span.whole(out)]), m.call("x", 0, [], [])]
    assert lifetimes(m.program(steps, "out"))["out"] == (Live(0, 1, 0, 8),)


def test_the_image_shrinks_to_the_tokens_written_over_it() -> None:
    program = vit(
        Vit(tokens_across=4, patch=4, width=16, blocks=1, heads=2, classes=8, tile=8, resident=True)
    )
    image, tokens, head = lifetimes(program)["x"]
    assert (image.first, image.last, image.hi) == (0, 0, program.buffers["x"].size_bytes)
    assert (tokens.lo, tokens.hi) == (0, 17 * 16)
    assert (head.lo, head.hi) == (0, 16)  # the class token alone
