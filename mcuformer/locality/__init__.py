"""Where the heads of a network look: how far, how evenly, and how much of it nearby.

A query that reads only its neighbours needs only their keys. Toledo and Martínez (arXiv 2605.16390)
report that networks trained with CutMix have heads whose mean attention distance is nearly zero;
this package measures it on a model that compiles, on real samples.

`positions.py` follows where every row stands on the image, through windows, shifts, padding and
merging. `sites.py` finds the attentions of a float or an int graph, `weights.py` runs them and hands
out probabilities, [sample, window, head, query, key]. `head_sums.py` reduces those to three figures per
head: mean attention distance (the diagonal of the grid is 1), entropy (uniform attention is 1) and the
mass within every radius. `study.py` goes through the samples and makes the document, `page.py` draws it.

The paper's own definitions were not obtained. Class tokens are dropped and rows renormalised, the
distance is Euclidean between patches over the diagonal: a reconstruction, consistent with the
figures that its abstract gives.
"""
