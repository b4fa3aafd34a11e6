"""Tests of the search share cores with other workers: threads of torch would wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, by children as well
