"""Finds a network within the chip's limits: one training, thousands of candidates, the compiler's own plan.

`space.py` says what may vary, `families.py` has a row for every family of networks: ViTs (`arch.py`) and
hierarchies (`pyramid.py`), their layers and shared weights in `networks.py`. A supernet holds the weights of
all networks of a space, and `sandwich.py` trains the widest, the narrowest and two between in every step
(`train.py`; `teacher.py`, `augment.py`, `optimizers.py` beside it). After it a candidate's accuracy is a
matter of slicing (`evaluate.py`), and its bytes and instructions come from the compiler: its float graph
without numbers (`float_graph.py`, `pyramid_graph.py`) goes through the passes and the lowering of every model
(`outline.py`), and `figures.py` plans it. The space itself moves first to where its networks are good
(`evolve.py`); then `explore.py` looks for the best candidates within the limits, by evolution on the Pareto
front.

The best one is trained on by itself (`task.py`, `run.py`), with the rounding of integer code where that is
asked for (`qat.py`, `fake_quant.py`, `twins.py`), exported, compiled and checked like any other model
(`finish.py`). Each stage leaves a file and starts from what it finds; a damaged one is refused by name.
`study.py` measures how far all this can be trusted.

A trained network (`backbone.py`, `plain_vit.py`, `vit_outline.py`) serves further tasks by adapters
(`adapters.py`, `adapt.py`), whose images `fitted.py` makes as it takes them.

Modules that need torch or optuna import them at the top and are imported lazily by the commands.
"""
