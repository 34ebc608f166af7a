"""The controls change what they say, and only ever in one direction.

    python -m benchmarks.controls [--size 512] [--encoder slim] [--assets ../shared/assets]

strength: the Oxford content, mean squared distance of relu4_1 from the photo's, rises with it, and the distance from
the style falls. stroke_scale: with larger strokes the spectrum moves to lower frequencies: the energy-weighted mean
frequency of the luminance, in cycles a pixel, less that of the photo. keep_colours: the histogram of chroma (Cb and Cr,
32 bins each) is nearer to the photo's, by half the sum of absolute differences: 0 is the same, 1 has nothing in common.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import machine, report
from benchmarks.judges import Judges
from benchmarks.painting import PACKAGED, encoders, paint, picture
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
from ml_models.contract import STROKE_SCALES

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
CHROMA_BINS = 32


def mean_frequency(image: Image.Image) -> float:
    """Return the energy-weighted mean spatial frequency of the luminance, in cycles a pixel, without its mean."""
    light = np.asarray(image.convert("L"), dtype=np.float64) / 255
    light = (light - light.mean()) * np.outer(np.hanning(light.shape[0]), np.hanning(light.shape[1]))
    energy = np.abs(np.fft.rfft2(light)) ** 2
    down, across = np.fft.fftfreq(light.shape[0])[:, None], np.fft.rfftfreq(light.shape[1])[None, :]
    return float((np.hypot(down, across) * energy).sum() / energy.sum())


def chroma_histogram(image: Image.Image) -> NDArray[np.float64]:
    chroma = np.asarray(image.convert("YCbCr"))[..., 1:].reshape(-1, 2)
    counts, _, _ = np.histogram2d(chroma[:, 0], chroma[:, 1], bins=CHROMA_BINS, range=((0, 256), (0, 256)))
    return np.asarray(counts / counts.sum())


def chroma_distance(one: Image.Image, other: Image.Image) -> float:
    """Return 0.0 (the same histogram) .. 1.0 (no colour in common)."""
    return float(np.abs(chroma_histogram(one) - chroma_histogram(other)).sum() / 2)


def rises(values: list[float]) -> bool:
    return all(earlier < later for earlier, later in pairwise(values))


def shown(values: list[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def measure(judges: Judges, pair: Pair, size_px: int, encoder: str) -> list[tuple[str, Image.Image]]:
    """Print the claims of one pair, and return its pictures for a contact sheet."""
    content = at_longer_side(open_rgb(pair.photo), size_px)
    photo = to_picture(content)
    judge = judges.of(content, at_longer_side(open_rgb(pair.style), size_px))

    def painted(**options: Any) -> Image.Image:
        return picture(paint(pair, size_px=size_px, encoder=encoder, **options))

    by_strength = [painted(strength=strength) for strength in STRENGTHS]
    by_stroke = [by_strength[-1] if scale == 1 else painted(stroke_scale=scale) for scale in STROKE_SCALES.values()]
    coloured = painted(keep_colours=True)

    print(f"\n{pair.title}")
    measures = [judge(to_tensor(picture)) for picture in by_strength]
    contents, styles = ([each[name] for each in measures] for name in ("oxford_content", "oxford_style"))
    report.claim(f"strength 0 to 100: content rises: {shown(contents)}", rises(contents))
    report.claim(f"strength 0 to 100: distance from the style falls: {shown(styles)}", rises(styles[::-1]))
    frequencies = [mean_frequency(picture) - mean_frequency(photo) for picture in by_stroke]
    report.claim(f"strokes {', '.join(STROKE_SCALES)}: frequency falls: {shown(frequencies)}", rises(frequencies[::-1]))
    kept, free = chroma_distance(coloured, photo), chroma_distance(by_strength[-1], photo)
    report.claim(f"keeping colours: distance from the photo's {kept:.3g}, without {free:.3g}", kept < free)
    return [
        *((f"strength {strength:g}", made) for strength, made in zip(STRENGTHS, by_strength, strict=True)),
        *((name, made) for name, made in zip(STROKE_SCALES, by_stroke, strict=True) if made is not by_strength[-1]),
        ("its own colours", coloured),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--size", type=int, default=512, help="longer side in pixels")
    parser.add_argument("--encoder", default=PACKAGED)
    arguments = parser.parse_args()
    todo = pairs(arguments.assets, 3)
    if not judges_are_here(arguments.assets, todo):
        return
    print(machine.describe())
    encoders(arguments.assets)
    judges = Judges(arguments.assets)
    rows = [measure(judges, pair, arguments.size, arguments.encoder) for pair in todo]
    folder = OUTPUT / "controls"
    folder.mkdir(parents=True, exist_ok=True)
    contact_sheet(rows, arguments.size).save(folder / f"{arguments.encoder}.png")
    print(f"\ncontact sheet: {(folder / arguments.encoder).relative_to(OUTPUT.parents[1])}.png")


if __name__ == "__main__":
    main()
