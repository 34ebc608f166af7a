"""Photo to Monet: any size, the same bytes, strength, strokes, memory, and the packaged weights."""

from io import BytesIO

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from ml_models.contract import Progress, Style, StyleTransferRequest
from ml_models.cyclegan.custom_layers import Generator
from ml_models.cyclegan.run_style_transfer import (
    LARGEST_WORKING_PX,
    paint,
    predicted_mb,
    run_style_transfer,
    working_size,
)
from ml_models.cyclegan.settings import OFFICIAL, PACKAGED, GeneratorSettings
from ml_models.cyclegan.weights import MONET_PATH, load_generator
from ml_models.errors import InvalidRequestError, NotEnoughMemoryError
from ml_models.registry import ALGORITHMS

CPU = torch.device("cpu")
registered = pytest.mark.skipif("cyclegan" not in ALGORITHMS, reason="cyclegan is not in the registry")


def photo(width: int = 96, height: int = 64) -> bytes:
    image = Image.radial_gradient("L").resize((width, height)).convert("RGB")
    image.paste((190, 60, 40), (width // 4, height // 4, width // 2, height // 2))
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def run(**changes: object) -> Image.Image:
    request = StyleTransferRequest(photo(), (), size_px=96, device="cpu", **changes)  # type: ignore[arg-type]
    result = run_style_transfer(request, lambda progress: None)
    assert result.encoder == "monet"
    return Image.open(BytesIO(result.image))


def levels(image: Image.Image) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.asarray(image, dtype=np.float32))


@pytest.fixture(scope="module")
def tiny() -> Generator:
    generator = Generator(GeneratorSettings(4, 1, "resize", "blocks", vividness=1.25))
    generator.initialise(torch.Generator().manual_seed(0))
    return generator.requires_grad_(False)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (30, 19), (64, 35)])
@pytest.mark.parametrize("stroke_scale", [0.5, 1.0, 4.0])
def test_every_size_is_kept(tiny: Generator, size: tuple[int, int], stroke_scale: float) -> None:
    fractions: list[float] = []
    painted = paint(tiny, torch.rand(1, 3, *size), stroke_scale, fractions.append)
    assert painted.shape == (1, 3, *size)
    assert bool(torch.isfinite(painted).all())
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_another_seed_is_another_painting() -> None:
    generator, image = load_generator("monet"), torch.full((1, 3, 32, 32), 0.6)
    first, again, other = (paint(generator, image, 1.0, lambda fraction: None, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert float((first - other).abs().mean()) > 0.01


def test_what_is_added_for_the_strides_is_cut_off_again(tiny: Generator) -> None:
    """Multiples of the strides need nothing, and the left upper part of other sizes is nearly the same there."""
    image = torch.rand(1, 3, 64, 64)
    whole = paint(tiny, image, 1.0, lambda fraction: None)
    direct = tiny(image * 2 - 1) * 0.5 + 0.5
    torch.testing.assert_close(whole, direct)


@pytest.mark.parametrize(
    ("size", "stroke_scale", "expected"),
    [
        ((512, 341), 1.0, (512, 341)),
        ((512, 341), 2.0, (256, 170)),
        ((512, 340), 0.5, (1024, 680)),
        ((2048, 1024), 0.25, (LARGEST_WORKING_PX, LARGEST_WORKING_PX // 2)),
        ((64, 20), 4.0, (51, 16)),
    ],
)
def test_strokes_are_large_where_the_generator_works_small(
    size: tuple[int, int], stroke_scale: float, expected: tuple[int, int]
) -> None:
    assert working_size(*size, stroke_scale) == expected


@registered
def test_the_packaged_generator_paints_the_same_bytes_again() -> None:
    seen: list[Progress] = []
    request = StyleTransferRequest(photo(), (), size_px=90, device="cpu")
    first, again = run_style_transfer(request, seen.append), run_style_transfer(request, lambda progress: None)
    assert first.image == again.image
    assert (first.width_px, first.height_px) == (90, 60)
    assert [progress.fraction for progress in seen] == sorted(progress.fraction for progress in seen)


@registered
def test_strength_goes_from_the_photo_to_the_painting_on_a_line() -> None:
    unpainted, half, painted = (levels(run(strength=strength)) for strength in (0.0, 0.5, 1.0))
    assert torch.equal(unpainted, levels(Image.open(BytesIO(photo()))))
    assert float((painted - unpainted).abs().mean()) > 4
    assert float((half - (painted + unpainted) / 2).abs().max()) <= 1


@registered
def test_the_photos_colours_can_be_kept() -> None:
    kept, given = run(keep_colours=True).convert("YCbCr"), Image.open(BytesIO(photo())).convert("YCbCr")
    painted = run().convert("YCbCr")
    for channel in ("Cb", "Cr"):
        wanted, other = levels(given.getchannel(channel)), levels(painted.getchannel(channel))
        assert float((levels(kept.getchannel(channel)) - wanted).abs().mean()) < float((other - wanted).abs().mean())


@registered
def test_a_style_photo_and_an_unknown_generator_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="give one of monet, official"):
        run(encoder="slim")
    request = StyleTransferRequest(photo(), (Style(photo()),), size_px=64)
    with pytest.raises(InvalidRequestError) as caught:
        run_style_transfer(request, lambda progress: None)
    assert caught.value.details["field"] == "styles"


@registered
def test_memory_is_told_before_it_is_taken() -> None:
    with pytest.raises(NotEnoughMemoryError):
        run_style_transfer(StyleTransferRequest(photo(), (), size_px=2048, memory_mb=500), lambda progress: None)
    sizes = [predicted_mb(side, side, 1.0, PACKAGED, CPU) for side in (64, 512, 1024, 2048)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 600
    assert sizes[-1] < 3072
    assert predicted_mb(1024, 1024, 0.5, PACKAGED, CPU) > predicted_mb(1024, 1024, 1.0, PACKAGED, CPU)
    assert predicted_mb(1024, 1024, 1.0, OFFICIAL, CPU) > predicted_mb(1024, 1024, 1.0, PACKAGED, CPU)


def test_the_packaged_weights_are_small_trained_and_described() -> None:
    generator = load_generator("monet")
    assert load_generator("monet") is generator
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert MONET_PATH.stat().st_size <= 6_000_000
    assert sum(path.stat().st_size for path in MONET_PATH.parent.glob("photo_to_monet*")) <= 8_000_000
    with safe_open(MONET_PATH, "pt") as file:
        steps = int((file.metadata() or {})["steps"])
    card = (MONET_PATH.parent / "MODEL_CARD.md").read_text()
    assert f"{steps:,}" in card
    for name in (path.name for path in MONET_PATH.parent.glob("photo_to_monet*")):
        assert f"`{name}`" in card or f"# {name}" in card


def test_the_packaged_generator_leaves_no_checkerboard() -> None:
    """A checkerboard repeats with the strides: of an even picture, pixels that differ in their place within 4x4 differ
    in their mean over many strokes."""
    even = torch.full((1, 3, 256, 256), 0.6)
    painted = paint(load_generator("monet"), even, 1.0, lambda fraction: None)[:, :, 16:240, 16:240]
    phases = painted.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(2, 3))
    assert float((phases - phases.mean(dim=(2, 3), keepdim=True)).abs().max()) < 0.02
    assert float((painted.mean(dim=(2, 3)) - 0.6).abs().max()) < 0.3
