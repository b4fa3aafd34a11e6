"""ONNX files in, canonical float graphs out (docs/adr/0001): `load.py` is the way through all of it.

`proto.py` and `tensors.py` read a file that may be hostile: nothing is allocated that its bytes do not
hold. `import_graph.py` makes its nodes a graph, those of old opsets as today's (`older.py`); `bind.py` gives
the inputs static shapes, an If that these decide is followed (`branches.py`), and the passes of stage
"onnx" fold what is constant. Then `convert.py` walks the nodes, one function per operator (`handlers.py`).

Exporters spell a transformer in a hundred ways, so moves of elements are not matched but followed: a
converted tensor is a *view* (`views.py`), an array that names the element of a canonical tensor behind each of
its own. A Transpose or a Slice only rewrites that array; arithmetic commutes with it (`arithmetic.py`);
where numbers are computed, `emit.py` asks for the elements in the order that the canonical operator wants
(`layers.py`, `convolutions.py`, `pooling.py`, `reductions.py`, `statistics.py`, `joining.py`, ...). q, k and v
of an attention are recognised by what their views say (`attention.py`); other products of activations are
computed as such (`products.py`).

What cannot be is refused by node with the nearest thing that works (`refusals.py`, `nearest.py`), and
the import goes on behind it, so that one run names all.
"""

from mcuformer.frontend.load import load_model, load_onnx_stage

__all__ = ["load_model", "load_onnx_stage"]
