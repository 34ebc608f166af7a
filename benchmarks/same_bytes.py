"""Same request, same seed, same bytes, in two processes; another seed, another picture.

python -m benchmarks.same_bytes [--size 256] [--assets ../shared/assets]
"""

from __future__ import annotations

import argparse

from benchmarks import machine, report
from benchmarks.painting import encoders, paint_fresh
from benchmarks.pictures import OUTPUT, add_assets, are_here, pairs

SEEDS = (0, 0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--size", type=int, default=256, help="longer side in pixels")
    arguments = parser.parse_args()
    (pair,) = pairs(arguments.assets, 1)
    if not are_here(pair.photo, pair.style):
        return
    print(machine.describe())
    for encoder in encoders(arguments.assets):
        digests = [
            paint_fresh(
                pair,
                OUTPUT / "same_bytes" / f"{encoder}-{number}.png",
                arguments.assets,
                size_px=arguments.size,
                encoder=encoder,
                seed=seed,
            )["sha256"]
            for number, seed in enumerate(SEEDS)
        ]
        short = [digest[:12] for digest in digests]
        report.claim(f"{encoder}, seed 0 in two processes: {short[0]}, {short[1]}", digests[0] == digests[1])
        report.claim(f"{encoder}, seed 1 differs: {short[2]}", digests[2] != digests[0])


if __name__ == "__main__":
    main()
