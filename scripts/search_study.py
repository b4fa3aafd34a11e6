"""Kendall's tau of a finished search's supernet, and its search against random search.

Run: python scripts/search_study.py DIR [--subnets 12] [--epochs 30] [--candidates 100] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mcuformer.search.run import Search, read_settings
from mcuformer.search.study import chance_study, rank_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--subnets", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()

    def say(stage: str, done: int = 0, total: int = 0) -> None:
        print(f"{stage} {done}/{total}", flush=True)

    search = Search(read_settings(args.directory), args.directory, say)
    result = {
        "chance": chance_study(search, args.candidates, args.seeds, say),
        "rank": rank_study(search, args.subnets, args.epochs, say),
    }
    (args.directory / "study.json").write_text(json.dumps(result, indent=1))
    for row in result["chance"]:
        print(f"seed {row['seed']}: search {row['search']:.2f} %, random {row['random']:.2f} %")
    print(f"tau {result['rank']['tau']:.2f} on {args.subnets} subnets, {args.epochs} epochs each")


if __name__ == "__main__":
    main()
