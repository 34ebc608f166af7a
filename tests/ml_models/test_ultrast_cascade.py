"""One picture through the stages: whole or in tiles, of any size, the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ml_models.training.ultrast_cascade import stylised
from ml_models.ultrast.canvas import Canvas
from ml_models.ultrast.cascade import Networks, paint, style_moments
from ml_models.ultrast.custom_layers import GREY, STAGES, Decoder, Encoder
from ml_models.ultrast.published import widths_of
from ml_models.ultrast.settings import SETTINGS
from ml_models.ultrast.wct import transport, whitening_colouring
from ml_models.ultrast.weights import blank_decoders

CPU = torch.device("cpu")


def picture(seed: int, height: int, width: int) -> Tensor:
    """Return a smooth picture with some grain, (1, 3, H, W) in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 8 + 2, width // 8 + 2, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    return (0.9 * smooth + 0.1 * torch.rand(1, 3, height, width, generator=generator)).clamp(0, 1)


def filled(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        spread = (2.0 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.01
        parameter.data.copy_(spread * torch.randn(parameter.shape, generator=generator))
        parameter.requires_grad_(False)


def ours() -> Networks:
    """Return networks of random values, in float64: they make much of rounding."""
    encoder = Encoder()
    decoders = blank_decoders()
    for seed, network in enumerate((encoder, *decoders.values())):
        filled(network, seed)
    encoders = dict.fromkeys(SETTINGS.stages, encoder)
    networks = Networks(encoders, decoders, SETTINGS.margin_px, transport, 0.1, SETTINGS.stages)
    return networks.to(CPU, torch.float64)


def published_like() -> Networks:
    encoders = {stage: Encoder(widths_of(stage), reflect=True) for stage in STAGES}
    decoders = {stage: Decoder(widths_of(stage), reflect=True, lowest=-GREY) for stage in STAGES}
    for seed, network in enumerate((*encoders.values(), *decoders.values())):
        filled(network, seed)
    return Networks(encoders, decoders, 0, whitening_colouring, 0.1).to(CPU, torch.float64)


@pytest.mark.parametrize("networks", [ours(), published_like()], ids=["ours", "published"])
@pytest.mark.parametrize("size", [(96, 144), (101, 77), (16, 130)])
def test_tiles_join_to_the_picture_that_is_made_whole(networks: Networks, size: tuple[int, int]) -> None:
    content, style = picture(0, *size), picture(1, 90, 60)
    whole = paint(networks, content, [style], [1.0], tile_px=4096)
    tiled = paint(networks, content, [style], [1.0], tile_px=32)
    assert whole.shape == tiled.shape == content.shape
    assert float(whole.std()) > 1e-3
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)


@torch.no_grad()
def test_it_is_what_was_trained() -> None:
    networks = ours()
    content, style = picture(2, 96, 112), picture(3, 80, 80)
    trained = stylised(
        networks.encoders.__getitem__,
        networks.decoders.__getitem__,
        content.double() - GREY,
        style.double() - GREY,
        stages=networks.stages,
        epsilon=networks.epsilon,
    )
    torch.testing.assert_close(
        paint(networks, content, [style], [1.0]), (trained[networks.stages[-1]] + GREY).float(), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (63, 200)])
def test_any_size_comes_out_as_it_went_in(size: tuple[int, int]) -> None:
    made = paint(ours(), picture(4, *size), [picture(5, 33, 47)], [1.0])
    assert made.shape == (1, 3, *size)
    assert made.dtype == torch.float32
    assert bool(made.isfinite().all())


def test_two_equal_styles_are_one_and_another_share_is_another_picture() -> None:
    networks, content = ours(), picture(6, 64, 48)
    styles = [picture(7, 50, 50), picture(8, 50, 50)]
    alone = paint(networks, content, styles[:1], [1.0])
    torch.testing.assert_close(paint(networks, content, [styles[0]] * 2, [0.3, 0.7]), alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(paint(networks, content, styles, [1.0, 0.0]), alone, rtol=0, atol=1e-5)
    assert float((paint(networks, content, styles, [0.5, 0.5]) - alone).abs().mean()) > 1e-3


def test_the_same_picture_again_is_the_same() -> None:
    networks, content, style = ours(), picture(9, 64, 80), picture(10, 64, 64)
    assert torch.equal(paint(networks, content, [style], [1.0]), paint(networks, content, [style], [1.0]))


def test_progress_rises_to_one_and_a_stop_ends_after_a_stage() -> None:
    networks, content, style = ours(), picture(11, 64, 64), picture(12, 64, 64)
    seen: list[float] = []
    whole = paint(networks, content, [style], [1.0], on_fraction=seen.append, tile_px=32)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) > 20
    asked: list[bool] = []
    stopped = paint(networks, content, [style], [1.0], should_stop=lambda: asked.append(True) or len(asked) == 2)
    assert len(asked) == 2
    assert stopped.shape == whole.shape
    assert not torch.allclose(stopped, whole)


def test_statistics_are_of_the_picture_without_its_margin() -> None:
    """Of an even picture every position is the same, so that its covariance is nothing up to the deepest stage."""
    even = torch.full((1, 3, 160, 160), 0.7)
    edges = style_moments(ours(), even, 4096)
    whole = style_moments(published_like(), even, 4096)
    assert float(whole[5].covariance.abs().max()) < 1e-12
    for stage in (2, 3):  # what the zeros reach: less than the margin
        assert float(edges[stage].covariance.abs().max()) < 1e-12


@pytest.mark.parametrize(("size", "margin_px"), [((40, 70), 16), ((16, 16), 16), ((33, 20), 0)])
def test_a_canvas_is_the_picture_continued_by_reflection(size: tuple[int, int], margin_px: int) -> None:
    image = torch.rand(1, 3, *size)
    canvas = Canvas(*size, margin_px)
    pads = [(margin_px, margin_px + -side % 16) for side in size]
    expected = np.pad(image[0].numpy(), ((0, 0), *pads), mode="reflect")
    np.testing.assert_array_equal(canvas.part(image, canvas.whole)[0].numpy(), expected)
    covered = np.zeros(expected.shape[1:], dtype=int)
    for tile in canvas.tiles(32):
        own, seen = tile.own, tile.seen
        covered[own.top : own.bottom, own.left : own.right] += 1
        part = canvas.part(image, seen)[0].numpy()
        np.testing.assert_array_equal(part, expected[:, seen.top : seen.bottom, seen.left : seen.right])
    assert (covered == 1).all()


@torch.no_grad()
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_an_odd_last_position_is_left_out_of_a_pooling(memory_format: torch.memory_format) -> None:
    encoder = ours().encoders[4]
    image = torch.rand(1, 3, 35, 41).double().contiguous(memory_format=memory_format)
    (_, first), (_, pooled) = encoder.layers(image, ("conv1_1", "conv1_2"))
    plain = encoder.convolution("conv1_2")(first)
    assert torch.equal(pooled, nn.functional.max_pool2d(plain, 2).relu())
