"""UltraST beside the published networks on the same pictures: losses, seconds, seams, and the largest picture.

    python -m benchmarks.ultrast [--pairs 34] [--large-pairs 1] [--ultra] [--memory] [--assets ../shared/assets]

Three ways, interleaved, the style's statistics included, files not: "ours"; "published", their networks through our own
passes, in the same precision and tiles; "plain", their networks as their program runs them: float32, the whole picture
at once, padded by reflection in every layer, WCT by SVD in double precision. Losses are those of the original Oxford
VGG19 (benchmarks/judges.py), as multiples of plain's; strength 1, which is their program's default. --ultra paints
10240 x 4096 in a fresh process; --memory compares the peaks of fresh processes with what is predicted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import machine, report
from benchmarks.pictures import (
    OUTPUT,
    OXFORD,
    ROOT,
    Pair,
    add_assets,
    are_here,
    at_longer_side,
    contact_sheet,
    open_rgb,
    pairs,
    squashed,
    to_picture,
)
from benchmarks.seams import CONTRAST_LIMIT, difference_at, seam_contrast
from ml_models.contract import Style, StyleTransferRequest
from ml_models.devices import half_precision
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.losses import mean_and_deviation
from ml_models.ultrast import weights
from ml_models.ultrast.canvas import Canvas
from ml_models.ultrast.cascade import Networks, paint
from ml_models.ultrast.custom_layers import GREY, STAGES
from ml_models.ultrast.published import load_published
from ml_models.ultrast.weights import PACKAGED, load_networks, published_networks

PUBLISHED = Path("weights/ultrast_official")
OURS, THEIRS, PLAIN = "ours", "published", "plain"
SIZE_PX, LARGE_PX, STYLE_PX = 768, 3000, 768
ULTRA_PX = (10240, 4096)
ULTRA_MB = 6144
MEMORY_SIZES = ((512, 512), (2048, 2048), (3000, 3000), ULTRA_PX)
LOSS_RATIO, TIME_RATIO = 1.1, 1.0
#: What their program drops of the eigenvalues.
DROPPED_BELOW = 1e-100

Paint = Callable[[Tensor, Tensor], Tensor]


class Plain:
    """The published networks as their own program runs them."""

    def __init__(self, folder: Path) -> None:
        self.encoders, self.decoders = load_published(folder)

    @torch.inference_mode()
    def __call__(self, content: Tensor, style: Tensor) -> Tensor:
        """Return the painting (1, 3, H', W'), H' and W' multiples of 16 as their decoders leave them."""
        image, style = (each.contiguous() - GREY for each in (content, style))
        for stage in STAGES:
            feature = self.encoders[stage](image, [stage])[stage]
            moved = _whitened_and_coloured(feature, self.encoders[stage](style, [stage])[stage])
            image = self.decoders[stage](moved)
        return image + GREY


def _whitened_and_coloured(content: Tensor, style: Tensor) -> Tensor:
    """Return the feature (1, C, h, w) with the style's covariance, by two SVDs, every position multiplied."""
    flat, other = (each[0].flatten(1).double() for each in (content, style))
    mean_, other_mean = flat.mean(1, keepdim=True), other.mean(1, keepdim=True)
    flat, other = flat - mean_, other - other_mean
    powers = []
    for each, exponent in ((flat, -0.5), (other, 0.5)):
        _, values, rows = torch.linalg.svd(each @ each.T / (each.shape[1] - 1))
        kept = values >= DROPPED_BELOW
        powers.append(rows[kept].T * values[kept].pow(exponent) @ rows[kept])
    coloured: Tensor = powers[1] @ (powers[0] @ flat) + other_mean
    return coloured.float().view(content.shape)


class Judge:
    """The Oxford VGG19's losses of paintings of one pair."""

    def __init__(self, network: OxfordVGG19, content: Tensor, style: Tensor) -> None:
        self.network = network
        self.content = self._features(content)["relu4_1"]
        self.style = {tap: mean_and_deviation(feature.float()) for tap, feature in self._features(style).items()}

    def __call__(self, image: Tensor) -> tuple[float, float]:
        """Return style and content loss of an image (1, 3, H, W), as benchmarks/judges.py has them."""
        distance = 0.0
        features = self._features(image)
        content = float((features["relu4_1"] - self.content).float().square().mean())
        for tap, (wanted_mean, wanted_deviation) in self.style.items():
            own_mean, own_deviation = mean_and_deviation(features.pop(tap).float())
            distance += float((own_mean - wanted_mean).square().mean())
            distance += float((own_deviation - wanted_deviation).square().mean())
        return distance, content

    @torch.inference_mode()
    def _features(self, image: Tensor) -> dict[str, Tensor]:
        dtype = next(self.network.parameters()).dtype
        image = image.clamp(0, 1).to(dtype).contiguous(memory_format=torch.channels_last)
        return self.network(image)  # type: ignore[no-any-return]


def chosen_pairs(assets: Path, count: int) -> list[Pair]:
    """Return the pairs of all benchmarks, then the other styles of styleid_sty, each with a photo of kodak's."""
    known = pairs(assets)
    photos = sorted((assets / "photos/kodak").glob("*.jpg"))
    styles = sorted(set((assets / "paintings/styleid_sty").glob("*.jpg")) - {pair.style for pair in known})
    others = [Pair(photos[(3 * index + 1) % len(photos)], style) for index, style in enumerate(styles) if photos]
    return [*known, *others][:count]


def ways(assets: Path) -> dict[str, Paint]:
    device = torch.device("cpu")

    def by(networks: Networks) -> Paint:
        return lambda content, style: paint(networks, content, [style], [1.0])

    theirs = published_networks(assets / PUBLISHED).to(device, half_precision(device))
    return {OURS: by(load_networks(PACKAGED, device)), THEIRS: by(theirs), PLAIN: Plain(assets / PUBLISHED)}


def compare(title: str, chosen: list[tuple[Pair, Tensor, Tensor]], assets: Path, *, half: bool, sheet: str) -> None:
    """Paint each pair in each way, print the table and what was asked for.

    Args:
        half: judge in bfloat16, for pictures whose features in float32 do not fit.
    """
    network = OxfordVGG19(assets / OXFORD)
    network.to(torch.bfloat16 if half else torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload]
    painters = ways(assets)
    _, small, style = chosen[0]
    for painter in painters.values():
        painter(small[:, :, :256, :256], style[:, :, :256, :256])
    seconds: dict[str, list[float]] = {way: [] for way in painters}
    losses: dict[str, list[tuple[float, float]]] = {way: [] for way in painters}
    cells = []
    for pair, content, style in chosen:
        judge = Judge(network, content, style)
        row = [(pair.title, to_picture(content)), (pair.style.stem, to_picture(style))]
        for way, painter in painters.items():
            started = time.perf_counter()
            image = painter(content, style)
            seconds[way].append(time.perf_counter() - started)
            if image.shape != content.shape:
                image = torch.nn.functional.interpolate(image, size=content.shape[2:], mode="bilinear")
            losses[way].append(judge(image))
            row.append((f"{way} {losses[way][-1][0]:.3f} / {losses[way][-1][1]:.2f}", to_picture(image)))
        cells.append(row)
    folder = OUTPUT / "ultrast"
    folder.mkdir(parents=True, exist_ok=True)
    contact_sheet(cells, 400).save(folder / sheet)
    style_losses = {way: mean(each[0] for each in losses[way]) for way in painters}
    content_losses = {way: mean(each[1] for each in losses[way]) for way in painters}
    report.table(
        f"{title}: medians of seconds, means of losses, {len(chosen)} pairs",
        [
            {
                "way": way,
                "seconds": median(seconds[way]),
                "of plain's": median(seconds[way]) / median(seconds[PLAIN]),
                "style": style_losses[way],
                "style of plain's": style_losses[way] / style_losses[PLAIN],
                "content": content_losses[way],
                "content of plain's": content_losses[way] / content_losses[PLAIN],
            }
            for way in painters
        ],
    )
    for other in (THEIRS, PLAIN):
        pace = median(ours / its for ours, its in zip(seconds[OURS], seconds[other], strict=True))
        report.point(f"{title}: seconds as a multiple of {other}", pace, TIME_RATIO)
        report.point(
            f"{title}: style loss as a multiple of {other}'s", style_losses[OURS] / style_losses[other], LOSS_RATIO
        )
        ratio = content_losses[OURS] / content_losses[other]
        report.point(f"{title}: content loss as a multiple of {other}'s", ratio, LOSS_RATIO)


def seams(pair: Pair, size_px: int = 1024, tile_px: int = 256) -> None:
    """Print what would be a seam between tiles, as benchmarks/seams.py does for the optimisation."""
    networks = load_networks(PACKAGED, torch.device("cpu"))
    content, style = at_longer_side(open_rgb(pair.photo), size_px), at_longer_side(open_rgb(pair.style), STYLE_PX)
    whole, tiled = (
        to_picture(paint(networks, content, [style], [1.0], tile_px=each)) for each in (4 * size_px, tile_px)
    )
    canvas = Canvas(content.shape[2], content.shape[3], networks.margin_px)
    inner = [tile.own.within(canvas.picture) for tile in canvas.tiles(tile_px)]
    rows = sorted({area.top for area in inner if area.top > 0})
    columns = sorted({area.left for area in inner if area.left > 0})
    contrast, usual = (seam_contrast(image, rows, columns) for image in (tiled, whole))
    report.point(f"seam contrast {contrast:.3f}, untiled {usual:.3f}: ratio", contrast / usual, CONTRAST_LIMIT)
    apart = np.abs(np.asarray(tiled, dtype=np.float64) - np.asarray(whole, dtype=np.float64)).mean(2)
    near = difference_at(apart, rows, columns) if apart.any() else 1.0
    report.point(
        f"difference near the lines, as a multiple of the {apart.mean():.3f} of 255 elsewhere", near, CONTRAST_LIMIT
    )


def fresh(pair: Pair, size: tuple[int, int], output: Path, limit_mb: int | None) -> dict[str, float]:
    """Paint a photo of the size in a process of its own, from file to file; return seconds, peak_mb, needed_mb."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        open_rgb(pair.photo).resize(size, Image.Resampling.LANCZOS).save(photo, quality=90)
        command = [sys.executable, "-m", "benchmarks.ultrast", "--one", str(photo), str(pair.style), str(output)]
        command += ["--weights", str(weights.PACKAGED_PATH)]
        command += [] if limit_mb is None else ["--limit-mb", str(limit_mb)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def paint_one(photo: Path, style: Path, output: Path, limit_mb: int | None) -> None:
    """Paint a photo at its own size through the contract's entry and print a line of JSON."""
    from ml_models.ultrast.memory import needed_mb
    from ml_models.ultrast.run_style_transfer import run_style_transfer

    with Image.open(photo) as image:
        size = image.size
    request = StyleTransferRequest(
        photo.read_bytes(), (Style(style.read_bytes()),), max(size), max_megapixels=100.0, memory_mb=limit_mb
    )
    result = run_style_transfer(request, lambda progress: None)
    peak = machine.peak_mb()
    assert (result.width_px, result.height_px) == size
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(result.image)
    needed = needed_mb(*size, request, torch.device("cpu"))
    print(json.dumps({"seconds": result.seconds, "peak_mb": peak, "needed_mb": needed}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--pairs", type=int, default=34, help="at 768 px")
    parser.add_argument("--large-pairs", type=int, default=1, help="at 3000 x 3000")
    parser.add_argument("--ultra", action="store_true", help="paint 10240 x 4096 too")
    parser.add_argument("--memory", action="store_true", help="peaks of fresh processes too")
    parser.add_argument("--weights", type=Path, default=weights.PACKAGED_PATH, help="what train_ultrast wrote")
    parser.add_argument("--one", type=Path, nargs=3, metavar=("PHOTO", "STYLE", "OUTPUT"), help=argparse.SUPPRESS)
    parser.add_argument("--limit-mb", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    weights.PACKAGED_PATH = arguments.weights
    if arguments.one:
        photo, style, output = arguments.one
        paint_one(photo, style, output, arguments.limit_mb)
        return
    assets: Path = arguments.assets
    chosen = chosen_pairs(assets, max(1, arguments.pairs, arguments.large_pairs))
    files = [path for pair in chosen for path in (pair.photo, pair.style)]
    if not are_here(assets / OXFORD, assets / PUBLISHED / "5SE.safetensors", *files):
        return
    print(machine.describe())
    if arguments.pairs:
        usual = [
            (pair, at_longer_side(open_rgb(pair.photo), SIZE_PX), at_longer_side(open_rgb(pair.style), STYLE_PX))
            for pair in chosen[: arguments.pairs]
        ]
        compare(f"{SIZE_PX} px", usual, assets, half=False, sheet="sheet.png")
    seams(chosen[0])
    if arguments.large_pairs:
        large = [
            (pair, squashed(open_rgb(pair.photo), LARGE_PX), at_longer_side(open_rgb(pair.style), LARGE_PX))
            for pair in chosen[: arguments.large_pairs]
        ]
        compare(f"{LARGE_PX} x {LARGE_PX} px", large, assets, half=True, sheet="sheet_large.png")
    if arguments.ultra:
        made = fresh(chosen[0], ULTRA_PX, OUTPUT / "ultrast" / "ultra.png", ULTRA_MB)
        print(f"{ULTRA_PX[0]} x {ULTRA_PX[1]}: {made['seconds']:.1f} s from the file to the encoded PNG")
        report.point("its peak in megabytes (2**20 bytes), a fresh process", made["peak_mb"], ULTRA_MB)
    if arguments.memory:
        rows: list[dict[str, object]] = []
        held = True
        for size in MEMORY_SIZES:
            made = fresh(chosen[0], size, OUTPUT / "ultrast" / f"memory_{size[0]}.png", None)
            peak, predicted = f"{made['peak_mb']:.0f}", f"{made['needed_mb']:.0f}"
            rows.append({"size": f"{size[0]} x {size[1]}", "peak MB": peak, "predicted MB": predicted})
            held = held and made["peak_mb"] <= made["needed_mb"]
        report.table("peak resident memory of a fresh process", rows)
        report.claim("no peak is above what was predicted", held)


if __name__ == "__main__":
    main()
