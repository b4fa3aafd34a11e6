"""The mean of the weights of two or more trainings of one network, as a training of its own.

    python scripts/average_trainings.py -o DIR FIRST SECOND ... --data cifar10:PATH

For trainings that followed one another (`train --from`): weights on both sides of a restart of the
learning rate average to a flatter place (Izmailov et al., arXiv 1803.05407). Statistics of batch norms
are taken anew over the training images. Prints the cross entropy on training images of each and of
the mean: where the mean's is not near the others', they do not belong together.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from mcuformer.cli.failure import ended
from mcuformer.search import data as sources
from mcuformer.search.arch import Arch
from mcuformer.search.checkpoint import followed, load_finished, read_checkpoint, save_atomically
from mcuformer.search.net import Network
from mcuformer.search.train import normalised


@torch.no_grad()
def run(network: Network, images: torch.Tensor, data: sources.Data) -> torch.Tensor:
    parts = (normalised(data, part, torch.device("cpu")) for part in images.split(250))
    return torch.cat([network(p.contiguous(memory_format=torch.channels_last)) for p in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainings", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument(
        "--images", type=int, default=10_000, help="training images to run through each"
    )
    args = parser.parse_args()
    if args.output.exists():
        parser.error(f"{args.output} exists")
    if not (args.trainings[-1] / "train.json").is_file():
        parser.error(
            f"{args.trainings[-1]} is no folder of `mcuformer train`, as the last one has to be"
        )
    info = json.loads((args.trainings[-1] / "train.json").read_text())
    data = sources.load(args.data, info["recipe"]["seed"])
    data = data.joined() if info["refit"] else data
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[
        : args.images
    ]
    images, labels = torch.as_tensor(data.train.x)[chosen], torch.as_tensor(data.train.y)[chosen]

    def told(name: object, network: Network) -> None:
        logits = run(network.eval(), images, data)
        hits = (logits.argmax(1) == labels).float().mean()
        print(
            f"{name}: cross entropy {F.cross_entropy(logits, labels):.4f}, {100 * hits:.2f} %",
            flush=True,
        )

    mean = Network(Arch.from_dict(info["arch"]))
    total = [torch.zeros_like(p) for p in mean.parameters()]
    for path in args.trainings:
        one = Network(mean.arch)
        load_finished(one, path / "last.pt")
        told(path, one)
        for t, p in zip(total, one.parameters(), strict=True):
            t += p.detach() / len(args.trainings)
    with torch.no_grad():
        for p, t in zip(mean.parameters(), total, strict=True):
            p.copy_(t)
    for m in mean.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.reset_running_stats()
            m.momentum = None  # the mean of all batches
    run(mean.train(), images, data)
    told("mean", mean)
    state = read_checkpoint(args.trainings[-1] / "last.pt")
    state |= {"model": mean.state_dict(), "average": dict(followed(mean))}
    args.output.mkdir(parents=True)
    save_atomically(state, args.output / "last.pt")
    info |= {"averaged": [str(p) for p in args.trainings], "weights_sha256": None}
    (args.output / "train.json").write_text(json.dumps(info, indent=1))


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
