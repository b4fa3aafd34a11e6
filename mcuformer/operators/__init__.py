"""The integer operators: one complete row each (docs/adr/0008), and what can be read off the rows.

A row (`row.py`) says all there is to know of an operator: operands, shape rule, evaluation, how a
float operator becomes it, its kernel, what a call of that costs. The families are files of their own
(`linear`, `norm`, `statistics`, `attention`, `product`, `elementwise`, `pooling`, `resize`, `moves`);
`table.py` has all rows.

    interpreter.py   the definition of every number that generated code computes
    verify.py        what must hold of a graph at every stage border
    outline.py       shapes, types and structure of a graph, none of its numbers
    macs.py, flash_bytes.py   what an operation multiplies, and what it takes of the flash
    lowering.py      what a lowering function may ask and say (quant/ is above this)
"""
