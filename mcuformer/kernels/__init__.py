"""The C kernels of runtime_c/ as Python sees them: how constants are packed, what a call takes and costs.

`pack` makes the const struct and its arrays (`base.py`), `scratch_bytes` says what a call wants
beside its operands, `instructions` what it executes: formulas fitted to counts in an emulator
(docs/kernels.md), written without branches where price/ asks for thousands of calls at once
(`linear_cost.py`). `rows` are those of one call; `panel`, `tile` and `merge` how much it expands at a
time, which is what a budget of scratch decides.

A cost depends on shapes and on the attributes that its operator's row names, never on weights.
`costs.py` has what differs from core to core; `lines.py` says which lines of an image a line is made of,
`walks.py` which orders of rows are loops. A small operator's packing and cost stand beside its row
instead (`operators/pooling.py`, `operators/product.py`).
"""
