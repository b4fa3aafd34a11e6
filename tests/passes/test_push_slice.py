import rewrite

from mcuformer.passes.push_slice import push_slice

BLOCK = """
input x: float32[8x4]
const g: float32[4] = rand(1)
const wq: float32[4x4] = rand(2)
const wk: float32[4x4] = rand(3)
const wv: float32[4x4] = rand(4)
const wo: float32[4x4] = rand(5)
const p: float32[8x4] = rand(6)
const bias: float32[1x8x8] = rand(7)
n = layernorm(x, g) {'eps': 1e-06, 'groups': 1} : float32[8x4]
q = linear(n, wq) {} : float32[8x4]
k = linear(n, wk) {} : float32[8x4]
v = linear(n, wv) {} : float32[8x4]
a = attention(q, k, v, bias) {'heads': 2, 'scale': 0.5} : float32[8x4]
o = linear(a, wo) {} : float32[8x4]
r = add(x, o) {} : float32[8x4]
s = add(r, p) {} : float32[8x4]
u = unary(s) {'fn': 'gelu'} : float32[8x4]
y = slice(u) {'axis': 0, 'start': 2, 'stop': 3} : float32[1x4]
output y
"""


def test_class_token_reaches_the_queries_and_the_residual() -> None:
    # Not to the bit: a BLAS sums the products of one row in another order than those of eight.
    after = rewrite.apply(push_slice, rewrite.float_graph(BLOCK))
    rows = {op.outputs[0]: after.type(op.outputs[0]).shape[0] for op in after.ops}
    by_kind = {op.inputs[0]: op for op in after.ops if op.kind == "slice"}
    assert set(by_kind) == {"n", "x"}  # nothing below is computed for other rows
    assert rows["n"] == rows["k"] == rows["v"] == 8
    assert sum(count == 8 for count in rows.values()) == 3
    attention = next(op for op in after.ops if op.kind == "attention")
    assert after.type(str(attention.inputs[3])).shape == (1, 1, 8)


def test_two_tokens_apart() -> None:
    """Two selections move up as one gather, and part below."""
    body = BLOCK.replace(
        "output y", "z = slice(u) {'axis': 0, 'start': 6, 'stop': 7} : float32[1x4]\noutput y, z"
    )
    after = rewrite.apply(push_slice, rewrite.float_graph(body))
    shapes = {
        op.kind: after.type(op.outputs[0]).shape
        for op in after.ops
        if op.kind in ("attention", "unary")
    }
    assert shapes == {"attention": (2, 4), "unary": (2, 4)}
    assert [op.attrs["indices"] for op in after.ops if op.kind == "gather"] == [(2, 6)] * 2


def test_most_rows_stay_where_they_are() -> None:
    body = BLOCK.replace(
        "'start': 2, 'stop': 3} : float32[1x4]", "'start': 1, 'stop': 8} : float32[7x4]"
    )
    graph = rewrite.float_graph(body)
    assert rewrite.kinds(rewrite.apply(push_slice, graph)) == rewrite.kinds(graph)


def test_other_reader_of_all_rows() -> None:
    graph = rewrite.float_graph(
        BLOCK.replace("output y", "m = mean(u) {} : float32[1x4]\noutput y, m")
    )
    assert rewrite.kinds(rewrite.apply(push_slice, graph)) == rewrite.kinds(graph)


def test_through_concat_into_one_part() -> None:
    after = rewrite.apply(
        push_slice,
        rewrite.float_graph("""
input x: float32[6x4]
const c: float32[2x4] = rand(1)
t = concat(c, x) {'axis': 0} : float32[8x4]
y = slice(t) {'axis': 0, 'start': 3, 'stop': 5} : float32[2x4]
output y
"""),
        exact=True,
    )
    assert [(op.kind, op.attrs["start"]) for op in after.ops if op.inputs == ("x",)] == [
        ("slice", 1)
    ]
    assert "concat" not in rewrite.kinds(after)


def test_constant_class_token_is_not_pushed_into_nothing() -> None:
    graph = rewrite.float_graph("""
input x: float32[6x4]
const c: float32[2x4] = rand(1)
t = concat(c, x) {'axis': 0} : float32[8x4]
y = slice(t) {'axis': 0, 'start': 0, 'stop': 1} : float32[1x4]
output y
""")
    assert rewrite.kinds(rewrite.apply(push_slice, graph)) == ["concat", "slice"]


def test_windows_are_left_alone() -> None:
    body = BLOCK.replace("'heads': 2,", "'heads': 2, 'windows': 2,").replace(
        "1x8x8] = rand(7)", "1x4x4] = rand(7)"
    )
    after = rewrite.apply(push_slice, rewrite.float_graph(body), exact=True)
    attention = next(op for op in after.ops if op.kind == "attention")
    assert after.type(attention.outputs[0]).shape == (8, 4)
