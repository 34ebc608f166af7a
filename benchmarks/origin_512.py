r"""The origin's loop given 500 evaluations at 512 px: run once, its figures kept in benchmarks/origin_512.json.

    OMP_WAIT_POLICY=passive MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 \
        python -m benchmarks.origin_512 [--again]

About 20 minutes for the six pairs on two idle cores. The kept run uses channels-last memory and frozen weights, which
change no mathematics, and an allocator that does not give memory back between two layers. Pairs that the file already
holds are left alone unless --again. Every picture is measured as the 8-bit picture that a person would get. Two are
kept of each pair: the one that the loop ends with, and the one of the least loss that it met, which the origin would
not have known of.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.judges import Judge, Judges
from benchmarks.origin import paint
from benchmarks.pictures import (
    OUTPUT,
    Pair,
    add_assets,
    at_longer_side,
    contact_sheet,
    judges_are_here,
    open_rgb,
    pairs,
    to_picture,
    to_tensor,
)

PATH = Path(__file__).with_name("origin_512.json")
SIZE_PX = 512
EVALUATIONS = 500
#: A loss this many times the least one so far is a blow-up.
BLOW_UP = 10.0


def reference(figures: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """Return "last" and the measures of the picture that the loop ended with, or "best" where it blew up on its way."""
    which = "last" if figures["blew_up_at_evaluation"] is None else "best"
    return which, figures[which]


def measured(judge: Judge, image: Tensor, path: Path) -> dict[str, float]:
    picture = to_picture(image)
    picture.save(path)
    return rounded(judge(to_tensor(picture)))


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.5g}") for name, value in values.items()}


def run(judges: Judges, pair: Pair, folder: Path) -> dict[str, Any]:
    """Paint one pair as the origin does and return what the file keeps of it."""
    content, style = at_longer_side(open_rgb(pair.photo), SIZE_PX), at_longer_side(open_rgb(pair.style), SIZE_PX)
    judge = judges.of(content, style)
    best, best_at, blew_up_at = content.clone(), 0, None
    losses: list[float] = []

    def on_evaluation(number: int, total: float, image: Tensor) -> None:
        nonlocal best_at, blew_up_at
        if not losses or total < min(losses):
            best.copy_(image)
            best_at = number
        elif blew_up_at is None and not total <= BLOW_UP * min(losses):
            blew_up_at = number
        losses.append(total)

    started, cpu_started = time.perf_counter(), time.process_time()
    last = paint(judge.loss, content, EVALUATIONS, on_evaluation)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return {
        "photo": f"{pair.photo.parent.name}/{pair.photo.name}",
        "style": f"{pair.style.parent.name}/{pair.style.name}",
        "width_px": content.shape[3],
        "height_px": content.shape[2],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_s, 1),
        "evaluations": len(losses),
        "blew_up_at_evaluation": blew_up_at,
        "best_at_evaluation": best_at,
        "photos_own": rounded(judge(content)),
        "last": measured(judge, last, folder / f"{pair.name}-last.png"),
        "best": measured(judge, best, folder / f"{pair.name}-best.png"),
        "loss_every_20_evaluations": [float(f"{loss:.5g}") for loss in losses[::20]],
    }


def described() -> dict[str, Any]:
    """Return a file without figures: what makes them, and on what."""
    variables = [f"{name}={os.environ[name]}" for name in sorted(os.environ) if name.startswith(("MALLOC_", "OMP_"))]
    return {
        "command": " ".join([*variables, "python -m benchmarks.origin_512"]),
        "machine": machine.describe(),
        "date": datetime.now(UTC).date().isoformat(),
        "made_with": "channels-last memory, frozen weights",
        "size_px": SIZE_PX,
        "evaluations": EVALUATIONS,
        "pairs": {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--again", action="store_true", help="forget the figures that are kept")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    todo = pairs(arguments.assets)
    if not judges_are_here(arguments.assets, todo):
        return
    torch.set_num_threads(arguments.threads)
    print(machine.describe())
    folder = OUTPUT / "origin_512"
    folder.mkdir(parents=True, exist_ok=True)
    kept = json.loads(PATH.read_text()) if PATH.exists() and not arguments.again else described()
    judges = Judges(arguments.assets)
    for pair in todo:
        if pair.name not in kept["pairs"]:
            kept["pairs"][pair.name] = run(judges, pair, folder)
            PATH.write_text(json.dumps(kept, indent=2) + "\n")
        figures = kept["pairs"][pair.name]
        print(pair.title, {name: figures[name] for name in ("seconds", "blew_up_at_evaluation", "last", "best")})
    rows = [
        [
            (f"{end}: {kept['pairs'][pair.name][end]['style_share']:.3f}", open_rgb(folder / f"{pair.name}-{end}.png"))
            for end in ("last", "best")
        ]
        for pair in todo
        if (folder / f"{pair.name}-best.png").exists()
    ]
    if rows:
        contact_sheet(rows, SIZE_PX).save(folder / "sheet.png")


if __name__ == "__main__":
    main()
