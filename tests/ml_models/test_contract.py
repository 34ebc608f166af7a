"""What the bot relies on, held against every algorithm of the registry. Free of any algorithm's own settings."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ml_models.contract import MAX_SIZE_PX, Progress, Stage, Style, StyleTransferRequest, StyleTransferResult
from ml_models.errors import (
    ERRORS,
    InvalidRequestError,
    NotEnoughMemoryError,
    PictureTooLargeError,
    PictureTooSmallError,
    StyleTransferError,
    UnreadablePictureError,
)
from ml_models.registry import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm, Kind, get_algorithm

ROOT = Path(__file__).parents[2]


def photo(width: int = 96, height: int = 64) -> bytes:
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 4, height // 4, width // 2, height // 2), fill=(200, 60, 40))
    return png(image)


def style(colour: str = "navy") -> bytes:
    image = Image.new("RGB", (80, 80), "gold")
    draw = ImageDraw.Draw(image)
    for offset in range(-80, 80, 10):
        draw.line((offset, 0, offset + 80, 80), fill=colour, width=4)
    return png(image)


def png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def request_for(algorithm: Algorithm, **changes: object) -> StyleTransferRequest:
    styles = tuple(Style(style()) for _ in range(algorithm.min_styles))
    return dataclasses.replace(StyleTransferRequest(photo(), styles, size_px=64, encoder=None), **changes)  # type: ignore[arg-type]


def run(algorithm: Algorithm, **changes: object) -> StyleTransferResult:
    return algorithm.load()(request_for(algorithm, **changes), lambda progress: None)


def refusal(algorithm: Algorithm, **changes: object) -> StyleTransferError:
    """Return the error of a request that must be refused before any painting."""
    seen: list[Progress] = []
    with pytest.raises(StyleTransferError) as caught:
        algorithm.load()(request_for(algorithm, **changes), seen.append)
    assert all(progress.stage is Stage.PREPARING for progress in seen)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (type(again), str(again), again.details) == (type(caught.value), str(caught.value), caught.value.details)
    return again


@pytest.fixture(params=ALGORITHMS.values(), ids=lambda algorithm: algorithm.key)
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("given", "size_px", "expected"),
    [((96, 64), 64, (64, 43)), ((40, 120), 75, (25, 75)), ((33, 33), 81, (81, 81)), ((400, 100), 65, (65, 16))],
)
def test_the_size_asked_for_with_the_photos_proportions(
    algorithm: Algorithm, given: tuple[int, int], size_px: int, expected: tuple[int, int]
) -> None:
    result = run(algorithm, content=photo(*given), size_px=size_px)
    image = Image.open(BytesIO(result.image))
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert image.size == (result.width_px, result.height_px) == expected
    assert result.encoder
    assert result.seconds > 0
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 - our own


def test_progress_rises_to_one_and_previews_are_small_jpegs(
    algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Progress] = []
    module = sys.modules[algorithm.load().__module__]
    if hasattr(module, "PREVIEW_PAUSE_S"):
        monkeypatch.setattr(module, "PREVIEW_PAUSE_S", 0.0)
    algorithm.load()(request_for(algorithm), seen.append)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == [Stage.PREPARING, Stage.PAINTING, Stage.FINISHING]
    previews = [progress.preview for progress in seen if progress.preview]
    if hasattr(module, "PREVIEW_PAUSE_S"):
        assert previews
    for preview in previews:
        image = Image.open(BytesIO(preview))
        assert image.format == "JPEG"
        assert max(image.size) <= 512


DIGEST_IN_ANOTHER_PROCESS = """
import hashlib, sys
import torch
from benchmarks.machine import peak_mb
from ml_models.registry import get_algorithm
from tests.ml_models.test_contract import PROCESS_MB, request_for, run
torch.set_num_threads(int(sys.argv[2]))
algorithm = get_algorithm(sys.argv[1])
print(hashlib.sha256(run(algorithm, seed=3, memory_mb=PROCESS_MB).image).hexdigest())
print(round(peak_mb()))
"""
#: What a small picture must be painted within, everything loaded, in megabytes (2**20 bytes).
PROCESS_MB = 1000


def digest_in_another_process(key: str) -> list[str]:
    """Return the picture's digest and the process's peak in megabytes."""
    done = subprocess.run(
        [sys.executable, "-c", DIGEST_IN_ANOTHER_PROCESS, key, "2"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=100,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        text=True,
    )
    return done.stdout.split()


def test_the_same_request_gives_the_same_bytes_in_another_process_and_keeps_to_its_memory(algorithm: Algorithm) -> None:
    with ThreadPoolExecutor() as threads:
        printed = threads.map(digest_in_another_process, [algorithm.key] * 2)
    (digest, peak_mb), (other, _) = printed
    assert digest == other
    assert len(digest) == 64
    assert int(peak_mb) < PROCESS_MB


def test_another_seed_another_style_and_another_strength_give_other_pictures(algorithm: Algorithm) -> None:
    pictures = [run(algorithm).image, run(algorithm, strength=0.5).image]
    if algorithm.max_styles:
        pictures.append(run(algorithm, styles=(Style(style("crimson")),)).image)
        pictures.append(run(algorithm, stroke_scale=2.0).image)
    assert len(set(pictures)) == len(pictures)


def test_no_strength_is_the_photo_and_keep_colours_keeps_them(algorithm: Algorithm) -> None:
    original = Image.open(BytesIO(photo())).resize((64, 43), Image.Resampling.LANCZOS)
    unpainted = Image.open(BytesIO(run(algorithm, strength=0.0).image))
    assert distance(unpainted, original) < 1.0
    painted = Image.open(BytesIO(run(algorithm).image))
    kept = Image.open(BytesIO(run(algorithm, keep_colours=True).image))
    assert distance(painted, original) > 5.0
    assert distance(kept.convert("YCbCr"), original.convert("YCbCr"), bands=(1, 2)) < 4.0


def distance(one: Image.Image, other: Image.Image, bands: tuple[int, ...] = (0, 1, 2)) -> float:
    """Mean absolute difference of the bands, 0..255."""
    pairs = [(one.getchannel(band).tobytes(), other.getchannel(band).tobytes()) for band in bands]
    differences = [abs(a - b) for first, second in pairs for a, b in zip(first, second, strict=True)]
    return sum(differences) / len(differences)


def test_a_run_that_is_asked_to_stop_gives_what_it_has(algorithm: Algorithm) -> None:
    if algorithm.kind is Kind.INSTANT:
        pytest.skip("is over before anybody can ask")
    whole = run(algorithm, size_px=200)
    stopped = algorithm.load()(request_for(algorithm, size_px=200), lambda progress: None, lambda: True)
    assert stopped.stopped
    assert not whole.stopped
    assert (stopped.width_px, stopped.height_px) == (whole.width_px, whole.height_px)
    assert stopped.image != whole.image
    assert stopped.seconds < whole.seconds


def test_a_painting_can_start_from_a_picture(algorithm: Algorithm) -> None:
    if algorithm.kind is Kind.INSTANT:
        assert isinstance(refusal(algorithm, initial=style()), InvalidRequestError)
        return
    started = run(algorithm, initial=style())
    assert (started.width_px, started.height_px) == (64, 43)
    assert isinstance(refusal(algorithm, initial=b"no picture"), UnreadablePictureError)


def test_as_many_styles_as_the_registry_says_and_their_weights_count(algorithm: Algorithm) -> None:
    if algorithm.max_styles < 2:
        pytest.skip("takes no two styles")
    colours = ["navy", "crimson", "teal", "black", "purple"][: algorithm.max_styles]
    styles = tuple(Style(style(colour), weight=index + 1.0) for index, colour in enumerate(colours))
    pictures = [run(algorithm, styles=order).image for order in (styles, (styles[0],))]
    twice = tuple(Style(each.image, each.weight * 2) for each in styles)
    assert pictures[0] != pictures[1]
    assert run(algorithm, styles=twice).image == pictures[0]
    too_many = tuple(Style(style()) for _ in range(algorithm.max_styles + 1))
    assert isinstance(refusal(algorithm, styles=too_many), InvalidRequestError)


@pytest.mark.parametrize(
    "changes",
    [
        {"size_px": 63},
        {"size_px": None},
        {"strength": -0.1},
        {"strength": float("nan")},
        {"stroke_scale": 0.2},
        {"stroke_scale": 4.1},
        {"encoder": "resnet"},
        {"device": "abacus"},
        {"styles": (Style(b"", weight=0.0),)},
        {"styles": (Style(b"", weight=float("inf")),)},
    ],
)
def test_a_field_out_of_its_range_is_refused_by_name(algorithm: Algorithm, changes: dict[str, object]) -> None:
    if changes == {"size_px": None}:
        changes = {"size_px": algorithm.max_size_px + 1}
    error = refusal(algorithm, **changes)
    assert isinstance(error, InvalidRequestError)
    assert error.details["field"] == next(iter(changes))
    assert "give" in str(error)


def test_pictures_that_cannot_be_used_are_refused(algorithm: Algorithm) -> None:
    bad = [
        (b"", UnreadablePictureError),
        (photo()[:-200], UnreadablePictureError),
        (photo(20, 12), PictureTooSmallError),
        (photo(4000, 100), PictureTooSmallError),
    ]
    for data, kind in bad:
        assert isinstance(refusal(algorithm, content=data), kind)
    assert isinstance(refusal(algorithm, content=photo(400, 400), max_megapixels=0.1), PictureTooLargeError)
    if algorithm.max_styles:
        assert isinstance(refusal(algorithm, styles=(Style(b"no picture"),)), UnreadablePictureError)


def test_a_run_that_would_not_fit_is_refused_before_it_starts(algorithm: Algorithm) -> None:
    error = refusal(algorithm, size_px=algorithm.max_size_px, memory_mb=500)
    assert isinstance(error, NotEnoughMemoryError)
    assert error.details["limit_mb"] == 500
    assert error.details["size_px"] == algorithm.max_size_px
    assert isinstance(error.details["needed_mb"], int)
    assert error.details["needed_mb"] > 500
    fits = error.details.get("largest_px")
    if isinstance(fits, int):
        assert 64 <= fits < algorithm.max_size_px
    run(algorithm, memory_mb=1500)


# --- the registry and the errors -------------------------------------------------------------------------------------


def test_the_registry_is_in_order() -> None:
    for key, entry in ALGORITHMS.items():
        assert get_algorithm(key) is entry
        assert key == entry.key
        assert key.isascii()
        assert len(key) <= 16
        assert 0 <= entry.min_styles <= entry.max_styles
        assert entry.seconds_at_512 > 0
        assert entry.max_size_px >= MAX_SIZE_PX
        if entry.draft:
            drafter = ALGORITHMS[entry.draft]
            assert (entry.kind, drafter.kind) == (Kind.PAINTED, Kind.INSTANT)
            assert (drafter.min_styles, drafter.max_styles) == (entry.min_styles, entry.max_styles)
    assert DEFAULT_ALGORITHM in ALGORITHMS
    with pytest.raises(InvalidRequestError, match="nst_gatys"):
        get_algorithm("unknown")


def test_registry_contract_errors_and_images_are_free_of_torch_and_aiogram() -> None:
    code = (
        "import sys, ml_models.registry, ml_models.contract, ml_models.errors, ml_models.images;"
        "print([name for name in ('torch', 'torchvision', 'aiogram', 'numpy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert found.stdout.strip() == b"[]"


def test_every_error_crosses_a_pipe() -> None:
    assert len(set(ERRORS)) == len(ERRORS)
    for code, kind in ERRORS.items():
        error = pickle.loads(pickle.dumps(kind("words", number=1)))  # noqa: S301 - our own
        assert (type(error), str(error), error.code, error.details) == (kind, "words", code, {"number": 1})
        assert str(kind()) == code
