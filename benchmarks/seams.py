"""A picture that is evaluated in tiles beside the same one evaluated whole: no seam to be seen.

    python -m benchmarks.seams [--size 512] [--tile 192] [--encoder slim] [--assets ../shared/assets]

The features of a tile are those of the whole picture, so that only rounding differs; an optimisation of hundreds of
evaluations makes other grains of the same picture of that, everywhere alike. What would be a seam is printed: the mean
step of the lightness across the lines where tiles meet, as a multiple of that across all other lines, in both pictures;
and how far the two are apart within a few pixels of these lines, as a multiple of how far they are elsewhere. Both
pictures and their difference go to data/benchmarks/seams/, to be looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import machine, report
from benchmarks.painting import PACKAGED, encoders, paint, picture, settings_replaced
from benchmarks.pictures import OUTPUT, add_assets, are_here, pairs
from ml_models.contract import MAX_SIZE_PX
from ml_models.encoders.vgg import MARGIN_PX
from ml_models.nst_gatys.tiles import tiles

#: A line of pixels that differs by less from its neighbours than these do among themselves is no line to the eye.
CONTRAST_LIMIT = 1.1
NEAR_PX = 4


def lines(width_px: int, height_px: int, tile_px: int) -> tuple[list[int], list[int]]:
    """Return the rows and the columns at which a tile begins, but for the first of each."""
    cut = tiles(height_px, width_px, tile_px)
    rows = {tile.rows.start + tile.top - MARGIN_PX for tile in cut} - {0}
    columns = {tile.columns.start + tile.left - MARGIN_PX for tile in cut} - {0}
    return sorted(rows), sorted(columns)


def seam_contrast(image: Image.Image, rows: Iterable[int], columns: Iterable[int]) -> float:
    """Return the mean step across the lines, as a multiple of that across all others."""
    light = np.asarray(image.convert("L"), dtype=np.float64)
    at, elsewhere = zip(*(_steps(light, rows), _steps(light.T, columns)), strict=True)
    return float(np.concatenate(at).mean() / np.concatenate(elsewhere).mean())


def difference_at(apart: NDArray[np.float64], rows: Iterable[int], columns: Iterable[int]) -> float:
    """Return the mean of apart (H, W) near the lines, as a multiple of that elsewhere."""
    near = np.zeros(apart.shape, dtype=bool)
    for row in rows:
        near[row - NEAR_PX : row + NEAR_PX] = True
    for column in columns:
        near[:, column - NEAR_PX : column + NEAR_PX] = True
    return float(apart[near].mean() / apart[~near].mean())


def _steps(light: NDArray[np.float64], rows: Iterable[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    steps = np.abs(np.diff(light, axis=0))
    seams = np.zeros(len(steps), dtype=bool)
    seams[[row - 1 for row in rows]] = True
    return steps[seams].ravel(), steps[~seams].ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--size", type=int, default=512, help="longer side in pixels")
    parser.add_argument("--tile", type=int, default=192, help="side of a tile in pixels")
    parser.add_argument("--encoder", default=PACKAGED)
    arguments = parser.parse_args()
    (pair,) = pairs(arguments.assets, 1)
    if not are_here(pair.photo, pair.style):
        return
    print(machine.describe())
    encoders(arguments.assets)
    made = []
    for tile_px in (arguments.tile, MAX_SIZE_PX):
        with settings_replaced(tile_px=tile_px):
            made.append(picture(paint(pair, size_px=arguments.size, encoder=arguments.encoder)))
    tiled, whole = made
    apart = np.abs(np.asarray(tiled, dtype=np.float64) - np.asarray(whole, dtype=np.float64))
    rows, columns = lines(*tiled.size, arguments.tile)
    contrast, usual = (seam_contrast(image, rows, columns) for image in made)
    print(f"{tiled.width}x{tiled.height}, tiles meet at rows {rows} and columns {columns}")
    report.point(f"seam contrast {contrast:.3f}, untiled {usual:.3f}: ratio", contrast / usual, CONTRAST_LIMIT)
    report.point(
        f"difference near the lines, as a multiple of the {apart.mean():.1f} of 255 elsewhere",
        difference_at(apart.mean(2), rows, columns),
        CONTRAST_LIMIT,
    )
    folder = OUTPUT / "seams"
    folder.mkdir(parents=True, exist_ok=True)
    tiled.save(folder / f"{arguments.encoder}-tiled.png")
    whole.save(folder / f"{arguments.encoder}-whole.png")
    Image.fromarray(apart.astype(np.uint8)).save(folder / f"{arguments.encoder}-difference.png")


if __name__ == "__main__":
    main()
