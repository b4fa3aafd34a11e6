"""Where kernels run: "host", or a row of mcuformer/targets/cores.py and compiler flags, in Unicorn.

A new core needs no test: `drawn` and `sweep` run on every row, few cases of each in `make test` and
all of them in `make test-long`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from harness import HOST_FLAGS, HostDevice, UnicornDevice
from hypothesis import Phase, given, settings
from hypothesis.strategies import SearchStrategy

from mcuformer.targets.cores import CORES

HOST = "host"
LDR = "cortex-m4 -O3 -DMCF_LDR"
M7 = "cortex-m7 -O2"
M0 = "cortex-m0plus -Os"
_OTHERS = tuple(
    f"{name} -O3"
    for name in CORES
    if name not in (M7.split(maxsplit=1)[0], M0.split(maxsplit=1)[0])
)
BUILDS = (M7, M0, *_OTHERS)  # of every core one; -O3 is how the firmware is built
SOME, FEW = 4, 8  # times fewer draws
SETS = {n: row.costs for n, row in CORES.items() if row.costs is not None}
every_set = pytest.mark.parametrize(("core", "costs"), SETS.items(), ids=SETS)
"""Counts of instructions are held to the cost set of each core that has one."""


@functools.cache
def device(sources: tuple[str, ...], where: str) -> HostDevice | UnicornDevice:
    if where == HOST:
        return HostDevice(sources, HOST_FLAGS)
    core, *flags = where.split()
    return UnicornDevice(sources, core, flags)


def sweep(*first: str) -> pytest.MarkDecorator:
    """`where` is each of `first`, in the long tests every other core too."""
    rest = (pytest.param(b, marks=pytest.mark.long) for b in BUILDS if b not in first)
    return pytest.mark.parametrize("where", [*first, *rest])


def drawn(count: int, *first: str, **strategies: SearchStrategy) -> Callable[[Callable], Callable]:
    """A property of `where` and of what is drawn: `count` draws on the host, a fourth of them on every other of
    `first`, an eighth on every other core, and in the long tests `count` everywhere."""
    rest = [b for b in (*first, *BUILDS) if b != HOST]
    cases = [pytest.param(HOST, count, id=HOST)] if HOST in first else []
    for b in dict.fromkeys(rest):
        few = count // (SOME if b in first else FEW)
        cases.append(pytest.param(b, few, id=f"{b}, few"))
        cases.append(pytest.param(b, count, id=b, marks=pytest.mark.long))

    def decorate(body: Callable[..., None]) -> Callable:
        @pytest.mark.parametrize(("where", "examples"), cases)
        def test(where: str, examples: int) -> None:
            phases = (Phase.generate, Phase.shrink)
            limits = settings(max_examples=examples, deadline=None, derandomize=True, phases=phases)
            limits(given(**strategies)(body))(where=where)

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        return test

    return decorate
