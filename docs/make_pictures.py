"""Paint the style pictures of the project's own, and the examples made with them.

    python docs/make_pictures.py [--styles-only]

Two procedural oil paintings (docs/pictures/style-*.jpg), scikit-image's photos painted in them with the packaged slim
encoder (docs/pictures/example-*.jpg), and the strip at the head of the README (docs/pictures/readme.jpg).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
SIZE = (768, 640)
#: Painted at twice the size: Pillow's lines have no smooth edges of their own.
SCALE = 2

Array = NDArray[np.float64]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Brush:
    """One pass over the canvas, in pixels of the finished picture; spacing against the width."""

    width_px: float
    length_px: float
    spacing: float
    jitter: float


@dataclass(frozen=True)
class Scene:
    """What is painted: colour (0..255) and direction (radians) of the paint at a place of the unit square."""

    name: str
    seed: int
    ground: Colour
    brushes: tuple[Brush, ...]
    colour: Callable[[float, float, np.random.Generator], Colour]
    direction: Callable[[float, float], float]


def hexadecimal(*codes: str) -> list[Colour]:
    return [(int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for code in codes]


def blend(one: Colour, other: Colour, share: float) -> Colour:
    share = min(1.0, max(0.0, share))
    mixed = [a + (b - a) * share for a, b in zip(one, other, strict=True)]
    return mixed[0], mixed[1], mixed[2]


# --- "tide": a sun over a sea of whorls ------------------------------------------------------------------------------

WHORLS = ((0.22, 0.30, 0.17, 1), (0.56, 0.20, 0.13, -1), (0.86, 0.40, 0.15, 1), (0.45, 0.52, 0.12, 1))
SUN = (0.70, 0.24)
TIDE_DEEP = hexadecimal("0b1d4a", "12306e", "0d4a80", "1a6a9a")
TIDE_LIGHT = hexadecimal("4fa3b5", "9fd0c4", "e8e3b8", "f6f1d6")
TIDE_WARM = hexadecimal("f2b632", "f7d35c", "e07b2a", "fdf0b0")
TIDE_LAND = hexadecimal("0a2a2c", "14463a", "2c6a3c", "7a8a2e", "c8a03a")


def hill(x: float) -> float:
    return 0.74 + 0.06 * math.sin(5.1 * x + 0.6) + 0.03 * math.sin(13 * x)


def tide_direction(x: float, y: float) -> float:
    if y > hill(x):
        return 0.35 * math.cos(5.1 * x + 0.6) + 0.9 * math.sin(9 * (y - hill(x)) + 3 * x)
    along, across = 1.0, 0.35 * math.sin(6 * x + 2)
    for cx, cy, radius, turn in (*WHORLS, (*SUN, 0.16, 1)):
        dx, dy = x - cx, y - cy
        pull = 9.0 * math.exp(-((math.hypot(dx, dy) / radius) ** 2))
        norm = math.hypot(dx, dy) + 1e-6
        along += pull * turn * -dy / norm
        across += pull * turn * dx / norm
    return math.atan2(across, along)


def tide_colour(x: float, y: float, random: np.random.Generator) -> Colour:
    if y > hill(x):
        depth = (y - hill(x)) * 4
        index = int((depth * 2.2 + 0.6 * math.sin(7 * x + 20 * y) + random.normal(0, 0.7)) * 1.3)
        return TIDE_LAND[max(0, min(len(TIDE_LAND) - 1, index % len(TIDE_LAND)))]
    glow = math.hypot(x - SUN[0], (y - SUN[1]) * 0.9)
    if glow < 0.045:
        return TIDE_WARM[3]
    if glow < 0.17 and (glow * 40 + random.normal(0, 0.5)) % 2.4 < 1.7:
        return TIDE_WARM[int(random.integers(3))]
    light = 0.32 + 0.14 * math.sin(11 * y + 4 * x)
    for cx, cy, radius, _ in WHORLS:
        distance = math.hypot(x - cx, y - cy)
        if distance < radius * 1.25:
            light = 0.5 + 0.5 * math.sin(distance / radius * 13)
    light += random.normal(0, 0.16)
    palette = TIDE_LIGHT if light > 0.62 else TIDE_DEEP
    base = palette[int(random.integers(len(palette)))]
    return blend(base, TIDE_WARM[0], 0.75) if random.random() < 0.05 else base


# --- "orchard": blossom in dabs over a warm field --------------------------------------------------------------------

ORCHARD_SKY = hexadecimal("f4c9a8", "f0a48a", "e8d6c0", "b9c6d8", "f7e3b4")
ORCHARD_TREE = hexadecimal("7a1f3d", "b5304f", "e0566b", "f4a3a8", "fbe3dc")
ORCHARD_TRUNK = hexadecimal("2b1a33", "3f2547", "5a2f3e")
ORCHARD_FIELD = hexadecimal("1f5a4a", "3b8a5a", "8fb84e", "e2c94a", "d9722e", "2a6f86")
TREES = ((0.20, 0.36, 0.20), (0.52, 0.30, 0.23), (0.84, 0.38, 0.19))


def orchard_direction(x: float, y: float) -> float:
    if y > 0.66:
        return 0.25 * math.sin(8 * x) - 0.7 * (x - 0.5)
    for cx, cy, radius in TREES:
        if math.hypot(x - cx, (y - cy) * 1.1) < radius:
            return math.atan2(y - cy, x - cx) + math.pi / 2 + 0.5 * math.sin(20 * x)
        if abs(x - cx - 0.03 * math.sin(12 * y)) < 0.03 and y > cy:
            return math.pi / 2 + 0.4 * math.cos(12 * y)
    return 0.5 + 0.5 * math.sin(5 * x + 3 * y)


def orchard_colour(x: float, y: float, random: np.random.Generator) -> Colour:
    for cx, cy, radius in TREES:
        if abs(x - cx - 0.03 * math.sin(12 * y)) < 0.022 and cy < y < 0.72:
            return ORCHARD_TRUNK[int(random.integers(3))]
        distance = math.hypot(x - cx, (y - cy) * 1.1) / radius
        if distance < 1 + random.normal(0, 0.08):
            light = 0.5 - 0.45 * ((x - cx) + (y - cy)) / radius + random.normal(0, 0.22)
            return ORCHARD_TREE[max(0, min(4, int(light * 5)))]
    if y > 0.66 + random.normal(0, 0.008):
        shade = 3.2 * (y - 0.66) / 0.34 + 1.1 * math.sin(9 * x + 14 * y) + random.normal(0, 0.9)
        return ORCHARD_FIELD[int(abs(shade) * 1.5) % len(ORCHARD_FIELD)]
    index = int(2.4 + 2.2 * math.sin(7 * y + 2 * x) + random.normal(0, 0.8))
    return ORCHARD_SKY[max(0, min(4, index))]


SCENES = (
    Scene(
        "tide",
        7,
        (18, 40, 88),
        (Brush(30, 120, 0.55, 9), Brush(17, 90, 0.62, 13), Brush(10, 60, 0.85, 17)),
        tide_colour,
        tide_direction,
    ),
    Scene(
        "orchard",
        11,
        (196, 150, 110),
        (Brush(34, 60, 0.5, 8), Brush(20, 34, 0.55, 12), Brush(13, 22, 0.7, 16)),
        orchard_colour,
        orchard_direction,
    ),
)


# --- the painter -----------------------------------------------------------------------------------------------------


def stroke_path(scene: Scene, x_px: float, y_px: float, length_px: float) -> Array:
    """Follow the direction of the paint both ways from the middle; (N, 2) in pixels of the canvas."""
    width, height = SIZE[0] * SCALE, SIZE[1] * SCALE
    step = 4.0 * SCALE
    halves: list[list[tuple[float, float]]] = []
    for sign in (-1.0, 1.0):
        x, y, points = x_px, y_px, []
        for _ in range(int(length_px * SCALE / 2 / step)):
            angle = scene.direction(x / width, y / height)
            x, y = x + sign * step * math.cos(angle), y + sign * step * math.sin(angle)
            points.append((x, y))
        halves.append(points)
    return np.array([*reversed(halves[0]), (x_px, y_px), *halves[1]])


def paint_stroke(
    colours: ImageDraw.ImageDraw,
    heights: ImageDraw.ImageDraw,
    path: Array,
    brush: Brush,
    colour: Colour,
    random: np.random.Generator,
) -> None:
    """Draw the hairs of one stroke: each has its own tone, its own thickness of paint and runs dry in its own place."""
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    hairs = max(5, round(brush.width_px * SCALE / 3.2))
    thickness = np.convolve(random.normal(0, 1, hairs + 4), np.ones(5) / 5, "valid") * 60
    for hair in random.permutation(hairs):
        across = (hair + 0.5) / hairs * 2 - 1
        # A round end: the outer hairs are shorter; some run dry early.
        reach = math.sqrt(max(0.0, 1 - 0.85 * across**2)) * float(np.clip(random.normal(0.95, 0.07), 0.5, 1.0))
        first = round((1 - reach) / 2 * (len(path) - 1))
        line = path[first : len(path) - first] + normal[first : len(path) - first] * across * brush.width_px * SCALE / 2
        if len(line) < 2:
            continue
        tone = random.normal(0, brush.jitter) + thickness[hair] * 0.16
        points = [tuple(point) for point in line.tolist()]
        fill = tuple(int(np.clip(channel + tone, 0, 255)) for channel in colour)
        colours.line(points, fill=fill, width=4, joint="curve")
        ridge = 70 if abs(across) > 0.82 else 0  # paint is pushed to the edges of the stroke
        heights.line(points, fill=int(np.clip(110 + thickness[hair] + ridge, 0, 255)), width=3)


def paint_scene(scene: Scene) -> Image.Image:
    random = np.random.default_rng(scene.seed)
    size = (SIZE[0] * SCALE, SIZE[1] * SCALE)
    canvas = Image.new("RGB", size, tuple(int(channel) for channel in scene.ground))
    relief = Image.new("L", size, 90)
    colours, heights = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    for brush in scene.brushes:
        spacing = brush.width_px * SCALE * brush.spacing
        places = [
            (x + random.normal(0, spacing / 2), y + random.normal(0, spacing / 2))
            for y in np.arange(-spacing, size[1] + spacing, spacing)
            for x in np.arange(-spacing, size[0] + spacing, spacing * 1.6)
        ]
        for index in random.permutation(len(places)):
            x, y = places[index]
            colour = scene.colour(x / size[0], y / size[1], random)
            path = stroke_path(scene, x, y, brush.length_px * random.uniform(0.6, 1.2))
            if len(path) > 2:
                paint_stroke(colours, heights, path, brush, colour, random)
    return lit(canvas, relief).resize(SIZE, Image.Resampling.LANCZOS)


def lit(canvas: Image.Image, relief: Image.Image) -> Image.Image:
    """Return the canvas with the relief of its paint lit from the upper left."""
    height = np.asarray(relief.filter(ImageFilter.GaussianBlur(1.6)), dtype=np.float64)
    down, right = np.gradient(height)
    light = np.clip(-(down + right) / 26, -0.5, 0.6)[..., None]
    colour = np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float64)
    bright = colour + (255 - colour) * np.clip(light, 0, 1) * 0.75
    return Image.fromarray(np.clip(bright * (1 + np.clip(light, -1, 0)), 0, 255).astype(np.uint8))


# --- the examples ----------------------------------------------------------------------------------------------------

#: scikit-image's photos (public domain or CC0), each with a style.
EXAMPLES = (("astronaut", "tide"), ("chelsea", "orchard"), ("coffee", "tide"), ("rocket", "orchard"))
STRIP_PX = 360


def save_jpeg(image: Image.Image, path: Path, limit_bytes: int) -> None:
    for quality in range(92, 40, -4):
        image.save(path, "JPEG", quality=quality, optimize=True)
        if path.stat().st_size <= limit_bytes:
            break
    print(f"{path.relative_to(ROOT)}: {image.width}x{image.height}, {path.stat().st_size // 1000} kB")


def stylise(photo: Image.Image, style: Image.Image) -> Image.Image:
    from ml_models.contract import Style, StyleTransferRequest
    from ml_models.images import encode_png
    from ml_models.registry import get_algorithm

    request = StyleTransferRequest(encode_png(photo), (Style(encode_png(style)),), size_px=512, encoder="slim")
    result = get_algorithm("nst_gatys").load()(request, lambda progress: None)
    print(f"painted in {result.seconds:.0f} s")
    return Image.open(BytesIO(result.image)).convert("RGB")


def strip(rows: list[tuple[Image.Image, Image.Image, Image.Image]]) -> Image.Image:
    """Photo, style and result of each row beside one another, on white."""
    gap, height = 8, round(STRIP_PX * 0.75)
    sheet = Image.new("RGB", (3 * STRIP_PX + 2 * gap, len(rows) * (height + gap) - gap), "white")
    for index, row in enumerate(rows):
        for column, image in enumerate(row):
            scale = max(STRIP_PX / image.width, height / image.height)
            scaled = image.resize(
                (math.ceil(image.width * scale), math.ceil(image.height * scale)), Image.Resampling.LANCZOS
            )
            left = (scaled.width - STRIP_PX) // 2
            top = round((scaled.height - height) * 0.15)
            cut = scaled.crop((left, top, left + STRIP_PX, top + height))
            sheet.paste(cut, (column * (STRIP_PX + gap), index * (height + gap)))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles-only", action="store_true")
    arguments = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    styles = {}
    for scene in SCENES:
        styles[scene.name] = paint_scene(scene)
        save_jpeg(styles[scene.name], PICTURES / f"style-{scene.name}.jpg", 250_000)
    if arguments.styles_only:
        return
    from skimage import data

    sys.path.insert(0, str(ROOT))
    rows = []
    for photo_name, style_name in EXAMPLES:
        photo = Image.fromarray(getattr(data, photo_name)()).convert("RGB")
        result = stylise(photo, styles[style_name])
        save_jpeg(result, PICTURES / f"example-{photo_name}.jpg", 150_000)
        rows.append((photo, styles[style_name], result))
    save_jpeg(strip(rows[:2]), PICTURES / "readme.jpg", 250_000)


if __name__ == "__main__":
    main()
