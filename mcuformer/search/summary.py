"""search.json: what was found, what it costs, and what else could have been chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mcuformer.search.data import Images
from mcuformer.search.explore import OBJECTIVES, Candidate
from mcuformer.search.families import arch_of
from mcuformer.search.figures import Limits, NetworkCost
from mcuformer.search.finish import Outcome
from mcuformer.search.settings import Settings

_CHUNK = 500
_MOST_DISTANCES = 200_000_000


def found_figures(best: Candidate, outcome: Outcome, limits: Limits) -> dict[str, Any]:
    """The compiled network; `planned` is what the search had counted on."""
    report = outcome.report
    return {
        "arch": best.arch.as_dict(),
        "parameters": best.arch.parameters,
        "bit_exact": outcome.bit_exact,
        "sram_total_bytes": report["memory"]["sram_total_bytes"],
        "sram_high_water_bytes": outcome.high_water_bytes,
        "flash_total_bytes": report["flash"]["total_bytes"],
        "instructions": report["estimate"]["instructions"],
        "planned": asdict(best.cost) | _totals(best.cost),
        "limits": asdict(limits),
    }


def accuracies(
    best: Candidate, validation: float | None, outcome: Outcome, neighbour: float | None
) -> dict[str, Any]:
    """In percent; `neighbour` is a nearest-neighbour classifier on the pixels."""
    return {
        "supernet_validation": best.accuracy,
        "validation": validation,
        "float": outcome.float_percent,
        "int8": outcome.int8_percent,
        "emulator": outcome.emulator_percent,
        "emulator_samples": outcome.emulated,
        "nearest_neighbour": neighbour,
    }


def pareto_rows(
    found: Sequence[Candidate], best: Candidate, settings: Settings
) -> list[dict[str, Any]]:
    """Candidates that no other beats in all objectives (accuracy and SRAM where there is one)."""
    names = settings.objectives if len(settings.objectives) > 1 else ("accuracy", "sram")
    front = not_beaten(found, names)
    return [
        {
            "number": c.number,
            "accuracy": c.accuracy,
            **_totals(c.cost),
            "instructions": c.cost.instructions,
            "compiled": c.number == best.number,
            "brief": c.arch.brief,
            "arch": c.arch.as_dict(),
        }
        for c in sorted(front, key=lambda c: (c.cost.sram_total_bytes, -c.accuracy, c.number))
    ]


def not_beaten(found: Sequence[Candidate], names: Sequence[str]) -> list[Candidate]:
    """Of candidates that are equal in every objective only the first."""
    points = [_point(c, names) for c in found]
    kept = []
    for i, (c, p) in enumerate(zip(found, points, strict=True)):
        beaten = any(
            all(a >= b for a, b in zip(q, p, strict=True)) and (q != p or j < i)
            for j, q in enumerate(points)
            if j != i
        )
        if not beaten:
            kept.append(c)
    return kept


def _point(c: Candidate, names: Sequence[str]) -> tuple[float, ...]:
    """More is better in every part."""
    values = {
        "accuracy": c.accuracy,
        "sram": c.cost.sram_total_bytes,
        "flash": c.cost.flash_total_bytes,
        "instructions": c.cost.instructions,
    }
    return tuple(values[n] if OBJECTIVES[n] == "maximize" else -values[n] for n in names)


def _totals(cost: NetworkCost) -> dict[str, int]:
    return {
        "sram_total_bytes": cost.sram_total_bytes,
        "flash_total_bytes": cost.flash_total_bytes,
    }


def nearest_neighbour(known: Images, test: Images) -> float | None:
    """Percent of `test` that have the label of the nearest image in `known`; None: too many."""
    if len(known) * len(test) > _MOST_DISTANCES // 100:
        return None
    a = known.x.reshape(len(known), -1).astype(np.float64)
    hits = 0
    for i in range(0, len(test), _CHUNK):
        b = test.x[i : i + _CHUNK].reshape(-1, a.shape[1]).astype(np.float64)
        distance = (a * a).sum(axis=1) - 2 * b @ a.T
        hits += int((known.y[distance.argmin(axis=1)] == test.y[i : i + _CHUNK]).sum())
    return 100 * hits / len(test)


def text(d: dict[str, Any]) -> str:
    """What `search` prints."""
    accuracy = d["accuracy"]
    validation = (
        "none: trained on it"
        if accuracy["validation"] is None
        else (f"{accuracy['validation']:.2f} %")
    )
    about = arch_of(d["arch"]).lines()
    lines = [
        *(f"{'' if i else 'found':10}{line}" for i, line in enumerate(about)),
        (
            f"          {d['parameters']:,} parameters; best of {d['candidates']} candidates, "
            f"{100 * d['legal_share']:.0f} % of random networks are legal"
        ),
        (
            f"accuracy  int8 {accuracy['int8']:.2f} % on all test images (float "
            f"{accuracy['float']:.2f} %, validation {validation})"
        ),
        (
            f"          Unicorn {accuracy['emulator']:.2f} % on {accuracy['emulator_samples']} of "
            f"them, {'bits equal' if d['bit_exact'] else 'BITS DIFFER'}"
        ),
    ]
    if accuracy.get("nearest_neighbour") is not None:
        lines.append(
            f"          nearest neighbour on the pixels {accuracy['nearest_neighbour']:.2f} %"
        )
    lines += _space_lines(d.get("evolution"))
    written = d["sram_high_water_bytes"]  # not every emulator paints the RAM
    seen = "" if written is None else f" ({written:,} B written in Unicorn)"
    lines += [
        f"SRAM      {d['sram_total_bytes']:,} B{seen}",
        f"flash     {d['flash_total_bytes']:,} B",
        f"work      {d['instructions']:,} instructions (estimated)",
        *_front_lines(d["pareto"]),
        *_study_lines(d.get("study")),
        f"model     {d['model']}",
        f"package   {d['build_dir']}",
    ]
    return "\n".join(lines)


def _space_lines(evolution: dict[str, Any] | None) -> list[str]:
    """How far the space came, and which dimensions grew or shrank."""
    if not evolution:
        return []
    errors = [row["error"] for row in evolution["errors"]]
    chosen = evolution["chosen"]
    lines = [f"space     E-T error {', '.join(f'{e:.1f}' for e in errors)} % by round"]
    if chosen is not None:
        lines[0] += f"; that of round {chosen} is searched"
    for name, moved in evolution["moved"].items():
        what = "grew" if moved["steps"] > 0 else "shrank"
        lines.append(f"          {name} {what}: {_listed(moved['from'])} to {_listed(moved['to'])}")
    return lines


def _listed(choices: Sequence[Any]) -> str:
    return "/".join(str(c).lower() if isinstance(c, bool) else str(c) for c in choices)


def _front_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        f"{row['accuracy']:6.2f} %  {row['sram_total_bytes']:>9,} B  {row['flash_total_bytes']:>11,} B  "
        f"{row['instructions']:>13,}{'  compiled' if row['compiled'] else ''}"
        for row in rows
    ]
    head = "accuracy       SRAM          flash   instructions (not beaten, by shared weights)"
    return [f"{'choice' if i == 0 else '':10}{line}" for i, line in enumerate([head, *lines])]


def _study_lines(study: dict[str, Any] | None) -> list[str]:
    if study is None:
        return []
    lines = [
        (
            f"study     tau {study['tau']:.2f} between shared weights and {study['epochs']} epochs alone, "
            f"{len(study['subnets'])} subnets"
        ),
    ]
    lines += [
        (
            f"          seed {row['seed']}: search {row['search']:.2f} % (alone "
            f"{row['search_alone']:.2f} %), random {row['random']:.2f} % (alone "
            f"{row['random_alone']:.2f} %)"
        )
        for row in study["chance"]
    ]
    return lines
