"""report.json and what is made of it.

`schema.py` is the contract: every field, and `problems`, which finds a report that breaks one of its own
promises (the parts of SRAM sum to the whole, a null has its reason, `fits` is true only where nothing
overflows). A number is planned, estimated or linked, and docs/report.md says which; what is not known is
null, with a diagnostic that says why.

`rows.py` takes from a placed program what it knows by itself: memory, a row per layer. The rest (flash,
options, the check) `compile/figures.py` fills in, which stands above and knows the whole compilation.
`timeline.py` lays buffers over calls, as text for a terminal and as data for `page.py`, which makes
report.html: one file that fetches nothing. `pictures.py` shows the regions there: in which order they run,
which values live side by side, and of those that run in strips which lines lie where.
"""
