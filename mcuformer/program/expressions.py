"""Numbers that are affine in the variables of loops: where a tile begins, how many rows it has."""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer.util.speed import record

Env = Mapping[str, int]


@record(frozen=True, slots=True)
class Expr:
    """const + sum(coefficient * variable); variables are loop variables `t` and their row counts `t_n`."""

    const: int = 0
    terms: tuple[tuple[str, int], ...] = ()

    def value(self, env: Env) -> int:
        total = self.const
        for name, k in self.terms:
            total += k * env[name]
        return total

    def __add__(self, other: Expr | int) -> Expr:
        if not isinstance(other, Expr):
            return Expr(self.const + other, self.terms)
        if not other.terms:
            return Expr(self.const + other.const, self.terms)
        if not self.terms:
            return Expr(self.const + other.const, other.terms)
        table = dict(self.terms)
        for name, k in other.terms:
            table[name] = table.get(name, 0) + k
        return Expr(self.const + other.const, tuple((n, k) for n, k in table.items() if k))

    def __mul__(self, k: int) -> Expr:
        if not self.terms:
            return Expr(self.const * k)
        return Expr(self.const * k, tuple((n, c * k) for n, c in self.terms if k))


def var(name: str) -> Expr:
    return Expr(0, ((name, 1),))
