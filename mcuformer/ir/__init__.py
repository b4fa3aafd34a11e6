"""Graphs of operations on typed values, in three stages (docs/adr/0001), and the arithmetic of each.

A `Graph` (`graph.py`) has values by name and operations in order; a `Value` with data is a constant.
The stages are ONNX, float (canonical operators, rows as tokens or images [H,W,C]) and int.

    optable.py, onnx_ops/, float_ops/, functions.py   the operators before lowering: shapes, evaluation
    int_ops_*.py, epilogue.py   integer arithmetic (docs/adr/0002); its operators are in operators/
    product.py                  products of two activations: which axis lies where in a matrix
    layout.py, finite.py        how an input lies in its file; what overflows on the way
    interp_float.py             runs a float graph; operators/interpreter.py runs an int graph
    text.py, store.py           a graph as text for tests, and as a file
    placeholders.py             constants that have a shape and no numbers
"""
