"""Peak memory of a run, in a process of its own, beside what is predicted and what is allowed.

    python -m benchmarks.memory [--quick] [--sizes 512 1024 2048] [--assets ../shared/assets]

A square photo and one of 3:2, both with more pixels than the result, by each encoder that is here. --quick runs
just as many evaluations of each stage as fill the history, which is where the peak is. Megabytes are 2**20 bytes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks import machine, report
from benchmarks.painting import encoders, paint_fresh
from benchmarks.pictures import OUTPUT, Pair, add_assets, are_here, open_rgb, pairs
from ml_models.images import scaled_size
from ml_models.nst_gatys.memory import predicted_mb

LIMITS_MB = {512: 1536, 1024: 1536, 2048: 3072}
PROPORTIONS = {"1:1": 1.0, "3:2": 1.5}
#: A photo's longer side, in sides of the result.
PHOTO_SCALE = 1.5


def enlarged(pair: Pair, size_px: int, proportion: float, folder: Path) -> Pair:
    """Write the pair with a photo of the proportion, both as large as the size asks for, and return it."""
    width_px = round(PHOTO_SCALE * size_px)
    files = Pair(folder / "photo.jpg", folder / "style.jpg")
    photo, style = open_rgb(pair.photo), open_rgb(pair.style)
    photo.resize((width_px, round(width_px / proportion)), Image.Resampling.LANCZOS).save(files.photo, quality=90)
    style.resize((size_px, size_px), Image.Resampling.LANCZOS).save(files.style, quality=90)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--quick", action="store_true", help="a few evaluations of each stage")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(LIMITS_MB), choices=list(LIMITS_MB))
    arguments = parser.parse_args()
    (pair,) = pairs(arguments.assets, 1)
    if not are_here(pair.photo, pair.style):
        return
    print(machine.describe())
    rows: list[dict[str, object]] = []
    worst: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for encoder in encoders(arguments.assets):
            for size_px in arguments.sizes:
                for name, proportion in PROPORTIONS.items():
                    files = enlarged(pair, size_px, proportion, Path(folder))
                    limit_mb = LIMITS_MB[size_px]
                    made = paint_fresh(
                        files,
                        OUTPUT / "memory" / f"{encoder}-{size_px}-{name.replace(':', 'x')}.png",
                        arguments.assets,
                        size_px=size_px,
                        encoder=encoder,
                        memory_mb=limit_mb,
                        quick=int(arguments.quick),
                    )
                    width_px, height_px = scaled_size(round(1000 * proportion), 1000, size_px)
                    predicted = predicted_mb(width_px, height_px, encoder, size_px)
                    peak_mb = made.get("peak_mb", float("inf"))
                    worst[encoder, size_px] = max(peak_mb, worst.get((encoder, size_px), 0.0))
                    rows.append(
                        {
                            "encoder": encoder,
                            "size": f"{width_px}x{height_px}",
                            "peak MB": f"{peak_mb:.0f}" if "peak_mb" in made else "refused",
                            "predicted MB": predicted,
                            "predicted / peak": f"{predicted / peak_mb:.2f}",
                            "limit MB": limit_mb,
                            "seconds": f"{made.get('seconds', 0.0):.0f}",
                        }
                    )
    report.table("peak resident memory" + (", few evaluations" if arguments.quick else ""), rows)
    for (encoder, size_px), peak_mb in worst.items():
        report.point(f"{encoder}: peak MB at {size_px} px", peak_mb, LIMITS_MB[size_px])
    held = all(
        int(str(row["predicted MB"])) >= float(str(row["peak MB"])) for row in rows if row["peak MB"] != "refused"
    )
    report.claim("no peak is above what was predicted", held)


if __name__ == "__main__":
    main()
