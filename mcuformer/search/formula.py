"""MCUFormer's own memory model, for the ablation against the compiler's plan.

Liang et al., arXiv 2310.16898. Its engine keeps a layer's input, its output and one weight factor
in SRAM; the released search tests E * (T * (1 + M) + E * M * rho) bytes of the MLP's widest layer:
no attention, no residual, no stack. Numbers of the plan are in search/figures.py.
"""

from __future__ import annotations

from mcuformer.search.arch import Arch


def formula_bytes(arch: Arch) -> int:
    """SRAM by the released test, the widest block deciding; a ratio of 1 is the whole matrix."""
    return max(_block(arch, hidden) for hidden in arch.hidden)


def _block(arch: Arch, hidden: int) -> int:
    """T*E in, T*E*M out, and the factor of E*rho by E*M, int8."""
    return arch.tokens * (arch.dim + hidden) + int(arch.dim * hidden * arch.rank_fc1)
