"""What tasks cost: bytes and instructions of a region under every tile and every budget of scratch.

A `CostBook` (`book.py`) knows one core: by kind of operator, the instructions of a call. Who plans
makes one and passes it on (compile: one; the search: one for all its candidates); it owns every table
that is remembered, so nothing is global and two cores cannot mix. What a call costs depends on
shapes, types and a few attributes alone: its `key`, under which everything is kept.

A kernel that expands weights chooses how many at a time: its menu (`menus.py`) rises in scratch and
falls in instructions, and a budget picks the last entry that fits. `tables.py` makes of it, for one
task, scratch and instructions under all tiles and budgets at once; the new linear layers of a whole
network in one go. `measure.py` adds a region up: `draft` says which buffers live beside each of its
tasks, a `Measurement` the peak and the instructions of all choices.

Nothing is chosen here; plan/ does that.
"""
