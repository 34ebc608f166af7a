"""Paint six photos in six styles and write docs/gallery.md and its contact sheet, with the settings and seconds.

    python docs/make_gallery.py [--assets ../shared/assets] [--size 512]

The photos are scikit-image's; two styles are the project's own (docs/make_pictures.py), the others are paintings of
the assets, of which only the name is shown.
"""

from __future__ import annotations

import argparse
import os
import sys
from io import BytesIO
from pathlib import Path
from statistics import median

import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import processor  # noqa: E402
from ml_models.contract import Style, StyleTransferRequest, StyleTransferResult, never  # noqa: E402
from ml_models.images import encode_png, scaled_size  # noqa: E402
from ml_models.nst_gatys.run_style_transfer import run_style_transfer  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle", "camera")
OWN_STYLES = {"Tide (our own)": "style-tide.jpg", "Orchard (our own)": "style-orchard.jpg"}
ASSET_STYLES = {
    "Van Gogh, The Starry Night": "neural_style_pt/starry_night_google.jpg",
    "Picabia, La muse": "adain_style/la_muse.jpg",
    "Woman in peasant dress": "adain_style/woman_in_peasant_dress.jpg",
    "Brush strokes": "adain_style/brushstrokes.jpg",
}
CELL_PX, CAPTION_PX, GAP_PX = 240, 20, 6


def photo(name: str) -> Image.Image:
    array = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    return Image.fromarray(array).convert("RGB")


def cell(image: Image.Image) -> Image.Image:
    """Return the picture within a square of the cell, proportions kept, on white."""
    small = image.resize(scaled_size(image.width, image.height, CELL_PX), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (CELL_PX, CELL_PX), "white")
    square.paste(small, ((CELL_PX - small.width) // 2, (CELL_PX - small.height) // 2))
    return square


def sheet(titles: list[str], rows: list[list[Image.Image]]) -> Image.Image:
    step = CELL_PX + GAP_PX
    image = Image.new("RGB", (len(titles) * step, CAPTION_PX + len(rows) * step), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=13)
    for column, title in enumerate(titles):
        draw.text((column * step + 2, 2), title, fill="black", font=font)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            image.paste(cell(picture), (x * step, CAPTION_PX + y * step))
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=Path(os.environ.get("STYLE_ASSETS", "../shared/assets")))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--full-size", type=Path, help="a folder for every painting at its size")
    arguments = parser.parse_args()
    styles = {name: PICTURES / file for name, file in OWN_STYLES.items()}
    styles |= {name: arguments.assets / "paintings" / file for name, file in ASSET_STYLES.items()}
    rows, seconds = [], {}
    for name in PHOTOS:
        row = [photo(name)]
        for title, path in styles.items():
            request = StyleTransferRequest(
                encode_png(row[0]), (Style(path.read_bytes()),), size_px=arguments.size, encoder="slim"
            )
            result: StyleTransferResult = run_style_transfer(request, lambda progress: None, never)
            row.append(Image.open(BytesIO(result.image)).convert("RGB"))
            seconds[name, title] = result.seconds
            print(f"{name} in {title}: {result.width_px}x{result.height_px}, {result.seconds:.1f} s", flush=True)
            if arguments.full_size:
                arguments.full_size.mkdir(parents=True, exist_ok=True)
                row[-1].save(arguments.full_size / f"{name}-{path.stem}.png")
        rows.append(row)
    sheet(["photo", *styles], rows).save(PICTURES / "gallery.jpg", quality=85, optimize=True)
    (ROOT / "docs" / "gallery.md").write_text(page(arguments.size, list(styles), seconds), encoding="utf-8")


def page(size_px: int, styles: list[str], seconds: dict[tuple[str, str], float]) -> str:
    lines = [
        "# Gallery",
        "",
        f"Six photos in six styles, all of them: `python docs/make_gallery.py --size {size_px}`, the packaged encoder,",
        "every setting at its default (strength 100, normal strokes, seed 0).",
        f"Seconds on {torch.get_num_threads()} threads of {processor()}, torch {torch.__version__};"
        f" the median is {median(seconds.values()):.0f} s.",
        "",
        "![Six photos, each in six styles](pictures/gallery.jpg)",
        "",
        "| photo | " + " | ".join(styles) + " |",
        "|---|" + "---|" * len(styles),
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{seconds[name, style]:.0f} s" for style in styles) + " |" for name in PHOTOS
    ]
    lines += [
        "",
        "The photos are scikit-image's. Two styles are the project's own ([tide](pictures/style-tide.jpg),",
        "[orchard](pictures/style-orchard.jpg)); of the others only what was painted with them is shown.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
