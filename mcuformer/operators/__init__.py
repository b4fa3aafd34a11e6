"""The integer operators: one complete row each (docs/adr/0008), a file per family.

A family stands below the interpreter: it imports shapes, arithmetic and kernels, nothing of quant or
schedule. `mcuformer.operators.table` has all rows.
"""
