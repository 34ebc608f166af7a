"""A hundred random pairs of photos and paintings: none fails, none ends worse than it began.

    python -m benchmarks.robust [--pairs 100] [--size 256] [--encoder slim] [--assets ../shared/assets]

The pairs are drawn from all photos and all paintings of the assets, by a fixed seed. "style share" is the origin's
style loss under torchvision's eleven layers, as a share of the photo's own: noise is far above 1. A contact sheet of
photo, painting and result goes to data/benchmarks/robust/.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from benchmarks import machine, report
from benchmarks.origin import OriginLoss, TorchvisionLayers
from benchmarks.painting import PACKAGED, encoders, paint, picture
from benchmarks.pictures import (
    OUTPUT,
    TORCHVISION,
    Pair,
    add_assets,
    are_here,
    at_longer_side,
    contact_sheet,
    open_rgb,
    to_tensor,
)
from ml_models.errors import StyleTransferError

SEED = 3
CELL_PX = 144
PAIRS_PER_ROW = 4
SUMMARY: dict[str, Callable[[list[float]], float]] = {"median": median, "worst": max}


def drawn(assets: Path, count: int) -> list[Pair]:
    photos, styles = (sorted((assets / kind).glob("*/*.jpg")) for kind in ("photos", "paintings"))
    draw = random.Random(SEED)
    return [Pair(draw.choice(photos), draw.choice(styles)) for _ in range(count)]


def measure(layers: TorchvisionLayers, pair: Pair, size_px: int, encoder: str) -> tuple[dict[str, float], Image.Image]:
    result = paint(pair, size_px=size_px, encoder=encoder)
    painted = picture(result)
    content = at_longer_side(open_rgb(pair.photo), size_px)
    with torch.no_grad():
        loss = OriginLoss(layers, content, at_longer_side(open_rgb(pair.style), size_px))
        own, made = float(loss.parts(content)[0]), float(loss.parts(to_tensor(painted))[0])
    return {
        "seconds": result.seconds,
        "loss, of the start": result.losses["total"] / result.losses["initial_total"],
        "style share": made / own,
        "recoveries": result.losses["recoveries"],
    }, painted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--size", type=int, default=256, help="longer side in pixels")
    parser.add_argument("--encoder", default=PACKAGED)
    arguments = parser.parse_args()
    if not are_here(arguments.assets / TORCHVISION, arguments.assets / "photos", arguments.assets / "paintings"):
        return
    print(machine.describe())
    encoders(arguments.assets)
    layers = TorchvisionLayers(arguments.assets / TORCHVISION)
    made: list[tuple[str, dict[str, float]]] = []
    failures: list[str] = []
    shown: list[tuple[str, Image.Image]] = []
    for pair in drawn(arguments.assets, arguments.pairs):
        try:
            row, painted = measure(layers, pair, arguments.size, arguments.encoder)
        except StyleTransferError as error:
            failures.append(f"{pair.name}: {error.code}: {error}")
            continue
        made.append((pair.name, row))
        shown += [
            (pair.title, open_rgb(pair.photo)),
            (f"{row['style share']:.3f}", open_rgb(pair.style)),
            ("", painted),
        ]
    rows = [row for _, row in made]
    if not rows:
        print("\n".join(failures))
        return
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    summary = [{"": name, **{column: of(values) for column, values in columns.items()}} for name, of in SUMMARY.items()]
    report.table(f"{arguments.encoder}, {len(rows)} pairs at {arguments.size} px", summary)
    furthest = sorted(made, key=lambda one: one[1]["style share"], reverse=True)[:3]
    report.table("the three furthest from their style", [{"photo and style": name, **row} for name, row in furthest])
    print("\n".join(failures))
    report.point("failures", len(failures), 0)
    losses, shares, recoveries = (columns[name] for name in ("loss, of the start", "style share", "recoveries"))
    report.point("worse than their start, or not finite", sum(not loss <= 1 for loss in losses), 0)
    report.point("further from the style than the photo was", sum(share >= 1 for share in shares), 0)
    print(f"recoveries: {sum(recoveries):.0f}, in {sum(count > 0 for count in recoveries)} runs")
    folder = OUTPUT / "robust"
    folder.mkdir(parents=True, exist_ok=True)
    step = 3 * PAIRS_PER_ROW
    cells = [shown[start : start + step] for start in range(0, len(shown), step)]
    contact_sheet(cells, CELL_PX).save(folder / f"{arguments.encoder}.png")
    print(f"contact sheet: {(folder / arguments.encoder).relative_to(OUTPUT.parents[1])}.png")


if __name__ == "__main__":
    main()
