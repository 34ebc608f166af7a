"""Ours beside the origin's loop: at the origin's own problem, and at 512 px of the longer side.

    python -m benchmarks.gatys [--assets ../shared/assets] [--only 200|512] [--pairs N]

200: the squashed squares, VGG19's eleven layers, the origin's own loss. The origin's loop runs 500 evaluations as it
was written; ours runs on the same loss until a picture of it is no worse than the origin's best, its clock standing
still while it is judged. Printed: wall times and their ratio.

512: pictures of kodak in paintings of styleid_sty, painted as the bot paints them, by each encoder that is here. The
origin's figures are those kept in benchmarks/origin_512.json (see origin_512.py): of the picture it ended with, or,
where it blew up, of the best it had met, which it would not have shown. Pictures and a contact sheet go to
data/benchmarks/gatys_512/.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine, report
from benchmarks.judges import Judges
from benchmarks.origin import OriginLoss, TorchvisionLayers, paint
from benchmarks.origin_512 import PATH as KEPT
from benchmarks.origin_512 import SIZE_PX, reference
from benchmarks.painting import PACKAGED, VGG19, encoders, picture
from benchmarks.painting import paint as paint_ours
from benchmarks.pictures import (
    OUTPUT,
    PAIRS,
    ROOT,
    TORCHVISION,
    Pair,
    add_assets,
    at_longer_side,
    contact_sheet,
    judges_are_here,
    open_rgb,
    pairs,
    squashed,
    to_tensor,
)
from ml_models.encoders import load_vgg19
from ml_models.nst_gatys.origin_problem import solve

ORIGIN_PX, ORIGIN_EVALUATIONS = 200, 500
#: Ours is judged after every so many evaluations.
JUDGED_EVERY = 2
TIME_SHARE = 0.25
SECONDS = {PACKAGED: 30.0, VGG19: 60.0}
STYLE_RATIO, CONTENT_RATIO, STYLE_SHARE = 1.0, 1.1, 0.1


#: Runs ours for so many evaluations, and gives it the number of each and the picture then.
Solve = Callable[[int, Callable[[int, Tensor], None]], Tensor]


class _ReachedError(Exception):
    """Ends a run of ours at the loss that it was asked for."""


def time_to_loss(solve: Solve, judge: Callable[[Tensor], Tensor], target: float) -> tuple[float, int, float]:
    """Return (seconds, evaluations, least loss) when ours first was at the target, or after all its evaluations.

    The seconds are without those that judging took; evaluations are those at full size.
    """
    judged_s, asked, reached, least = 0.0, 0, 0, float("inf")
    started = time.perf_counter()

    def on_image(number: int, image: Tensor) -> None:
        nonlocal judged_s, asked, reached, least
        paused = time.perf_counter()
        asked, reached = asked + 1, number
        if asked % JUDGED_EVERY == 0:
            with torch.no_grad():
                least = min(least, float(judge(image.detach().clamp(0, 1))))
        judged_s += time.perf_counter() - paused
        if least <= target:
            raise _ReachedError

    with suppress(_ReachedError):
        solve(ORIGIN_EVALUATIONS, on_image)
    return time.perf_counter() - started - judged_s, reached, least


def origin_as_written(assets: Path, content: Tensor, style: Tensor) -> tuple[float, float, float]:
    """Return the seconds, the last and the least loss of the origin's loop."""
    layers = TorchvisionLayers(assets / TORCHVISION, torch.contiguous_format)
    layers.convolutions.requires_grad_(True)  # the origin never froze them
    losses: list[float] = []
    started = time.perf_counter()
    loss = OriginLoss(layers, content, style)
    last = paint(loss, content, ORIGIN_EVALUATIONS, lambda number, total, image: losses.append(total))
    seconds = time.perf_counter() - started
    with torch.no_grad():
        losses.append(float(loss(last)))
    return seconds, losses[-1], min(losses)


def at_origins_problem(assets: Path, todo: list[Pair]) -> None:
    vgg19 = load_vgg19()
    layers = TorchvisionLayers(assets / TORCHVISION)
    rows: list[dict[str, object]] = []
    ratios = []
    for pair in todo:
        content, style = squashed(open_rgb(pair.photo), ORIGIN_PX), squashed(open_rgb(pair.style), ORIGIN_PX)
        if not rows:
            solve(content, style, vgg19, 10, lambda number, image: None)  # a first run is slower than any other
        seconds, last, least = origin_as_written(assets, content, style)
        ours = partial(solve, content, style, vgg19)
        ours_s, evaluations, loss = time_to_loss(ours, OriginLoss(layers, content, style), last)
        ratios.append(ours_s / seconds if loss <= last else float("inf"))
        rows.append(
            {
                "photo and style": pair.title,
                "origin, s": seconds,
                "its last loss": last,
                "its least loss": least,
                "ours at its last, s": ours_s if loss <= last else "never",
                "ours, evaluations": evaluations,
                "ours, loss": loss,
                "ratio": ratios[-1],
            }
        )
    report.table(f"{ORIGIN_PX}x{ORIGIN_PX}, the origin's {ORIGIN_EVALUATIONS} evaluations", rows)
    report.point("wall time to the origin's loss, as a share of its own, median", median(ratios), TIME_SHARE)


def at_512(assets: Path, todo: list[Pair]) -> None:
    kept: dict[str, Any] = json.loads(KEPT.read_text())
    print(f"the origin's figures: {kept['date']}, {kept['machine']}, {kept['command']}")
    judges, folder = Judges(assets), OUTPUT / "gatys_512"
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in encoders(assets)}
    sheet = []
    for pair in todo:
        figures = kept["pairs"].get(pair.name)
        if figures is None:
            print(f"left out: {pair.title}, of which {KEPT.name} has no figures")
            continue
        which, origin = reference(figures)
        photo, style = open_rgb(pair.photo), open_rgb(pair.style)
        judge = judges.of(at_longer_side(photo, SIZE_PX), at_longer_side(style, SIZE_PX))
        shown = [(pair.title, photo), ("", style)]
        for name, made in rows.items():
            result = paint_ours(pair, size_px=SIZE_PX, encoder=name)
            painted = picture(result)
            painted.save(folder / f"{pair.name}-{name}.png")
            measures = judge(to_tensor(painted))
            made.append(
                {
                    "photo and style": pair.title,
                    "seconds": result.seconds,
                    "Oxford style": measures["oxford_style"],
                    "origin's": origin["oxford_style"],
                    "style ratio": measures["oxford_style"] / origin["oxford_style"],
                    "Oxford content": measures["oxford_content"],
                    "origin's ": origin["oxford_content"],
                    "content ratio": measures["oxford_content"] / origin["oxford_content"],
                    "style share": measures["style_share"],
                    "origin's  ": origin["style_share"],
                    "origin's picture": which,
                }
            )
            shown.append((f"{name}, {result.seconds:.0f} s", painted))
        sheet.append(shown)
    for name, made in rows.items():
        report.table(f"{name}, {SIZE_PX} px", made)
        for column, limit in (
            ("seconds", SECONDS[name]),
            ("style ratio", STYLE_RATIO),
            ("content ratio", CONTENT_RATIO),
            ("style share", STYLE_SHARE),
        ):
            report.point(f"{name}: {column}, median", median(float(str(row[column])) for row in made), limit)
    contact_sheet(sheet, SIZE_PX).save(folder / "sheet.png")
    print(f"pictures: {folder.relative_to(ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--only", type=int, choices=(ORIGIN_PX, SIZE_PX))
    parser.add_argument("--pairs", type=int, help="as many of the eight; without it six at 200 px and all at 512 px")
    arguments = parser.parse_args()
    if not judges_are_here(arguments.assets, pairs(arguments.assets)):
        return
    torch.set_num_threads(2)
    print(machine.describe())
    encoders(arguments.assets)
    if arguments.only in (None, ORIGIN_PX):
        at_origins_problem(arguments.assets, pairs(arguments.assets, arguments.pairs or 6))
    if arguments.only in (None, SIZE_PX):
        at_512(arguments.assets, pairs(arguments.assets, arguments.pairs or len(PAIRS)))


if __name__ == "__main__":
    main()
