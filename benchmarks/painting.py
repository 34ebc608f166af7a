"""Ours, through the contract's entry, as the bot calls it: in this process, or in a fresh one.

    python -m benchmarks.painting PHOTO STYLE OUTPUT.png [--size-px 512] [--encoder slim] [--seed 0] ...

paints once and prints a line of JSON: the seconds, the losses, the SHA-256 of the result's bytes and the peak of the
process's resident memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.machine import peak_mb
from benchmarks.pictures import ROOT, TORCHVISION, Pair, add_assets
from ml_models import weights
from ml_models.contract import MAX_SIZE_PX, Style, StyleTransferRequest, StyleTransferResult
from ml_models.errors import NotEnoughMemoryError
from ml_models.nst_gatys import run_style_transfer as entry
from ml_models.nst_gatys.settings import SETTINGS

PACKAGED, VGG19 = "slim", "vgg19"
FRESH_TIMEOUT_S = 1800


def encoders(assets: Path) -> tuple[str, ...]:
    """Return the encoders that can be measured; where VGG19 is not installed, the assets' file takes its place."""
    if not weights.VGG19_PATH.exists() and (assets / TORCHVISION).exists():
        weights.VGG19_PATH = assets / TORCHVISION
    return (PACKAGED, VGG19) if weights.VGG19_PATH.exists() else (PACKAGED,)


def paint(pair: Pair, **options: Any) -> StyleTransferResult:
    """Paint the pair; options are fields of the request."""
    request = StyleTransferRequest(pair.photo.read_bytes(), (Style(pair.style.read_bytes()),), **options)
    return entry.run_style_transfer(request, lambda progress: None)


def picture(result: StyleTransferResult) -> Image.Image:
    with Image.open(BytesIO(result.image)) as image:
        return image.convert("RGB")


def paint_fresh(pair: Pair, output: Path, assets: Path, **options: object) -> dict[str, Any]:
    """Paint in a process of its own and return what it prints, or {"needed_mb"} where it refused for its memory."""
    command = [sys.executable, "-m", "benchmarks.painting", str(pair.photo), str(pair.style), str(output)]
    command += ["--assets", str(assets)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}={value}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=FRESH_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@contextmanager
def settings_replaced(**changes: Any) -> Iterator[None]:
    """Let the runs within have some settings of their own."""
    assert hasattr(entry, "SETTINGS")
    before = entry.SETTINGS
    entry.SETTINGS = replace(before, **changes)
    try:
        yield
    finally:
        entry.SETTINGS = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("output", type=Path)
    add_assets(parser)
    parser.add_argument("--size-px", type=int, default=512)
    parser.add_argument("--encoder", default=PACKAGED)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-mb", type=int, default=None)
    parser.add_argument("--quick", type=int, default=0, help="1: a few evaluations of each stage")
    arguments = parser.parse_args()
    encoders(arguments.assets)
    # The history is full then, and with it the memory.
    quick = {"evaluations": ((MAX_SIZE_PX, SETTINGS.history + 2),)} if arguments.quick else {}
    try:
        with settings_replaced(**quick):
            result = paint(
                Pair(arguments.photo, arguments.style),
                size_px=arguments.size_px,
                encoder=arguments.encoder,
                seed=arguments.seed,
                memory_mb=arguments.memory_mb,
            )
    except NotEnoughMemoryError as error:
        print(json.dumps({"needed_mb": error.details["needed_mb"]}))
        return
    peak = peak_mb()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_bytes(result.image)
    digest = hashlib.sha256(result.image).hexdigest()
    print(json.dumps({"seconds": result.seconds, "losses": result.losses, "sha256": digest, "peak_mb": peak}))


if __name__ == "__main__":
    main()
