"""Whitening, colouring and transport by known answers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ml_models.ultrast.wct import (
    Affine,
    Moments,
    MomentSums,
    Transfer,
    mixed,
    moments_of,
    transport,
    whitening_colouring,
)

CHANNELS = 6
TRANSFERS = pytest.mark.parametrize("transfer", [whitening_colouring, transport])


def feature(seed: int, height: int = 24, width: int = 20) -> Tensor:
    """Return a feature (1, CHANNELS, H, W) whose channels depend on each other, float64."""
    generator = torch.Generator().manual_seed(seed)
    plain = torch.randn(1, CHANNELS, height, width, generator=generator, dtype=torch.float64)
    mixing = torch.randn(CHANNELS, CHANNELS, generator=generator, dtype=torch.float64)
    return torch.einsum("ij,bjhw->bihw", mixing, plain) + torch.randn(CHANNELS, generator=generator)[:, None, None]


def one(moments: Moments) -> Moments:
    return Moments(moments.mean[0], moments.covariance[0])


def test_whitened_features_have_the_identity_as_their_covariance() -> None:
    content = feature(0)
    white = Moments(torch.zeros(CHANNELS).double(), torch.eye(CHANNELS).double())
    whitened = one(moments_of(whitening_colouring(one(moments_of(content)), white, 0.0)(content)))
    torch.testing.assert_close(whitened.covariance, torch.eye(CHANNELS).double())
    torch.testing.assert_close(whitened.mean, torch.zeros(CHANNELS).double())


@TRANSFERS
def test_the_styles_statistics_are_reached(transfer: Transfer) -> None:
    content, style = feature(1), one(moments_of(feature(2, 31, 9)))
    reached = one(moments_of(transfer(one(moments_of(content)), style, 0.0)(content)))
    torch.testing.assert_close(reached.mean, style.mean)
    torch.testing.assert_close(reached.covariance, style.covariance)


@TRANSFERS
def test_a_style_that_is_the_content_changes_nothing(transfer: Transfer) -> None:
    content = feature(3)
    own = one(moments_of(content))
    torch.testing.assert_close(transfer(own, own, 1e-3)(content), content)


@TRANSFERS
def test_channels_that_are_independent_are_scaled_each_by_itself(transfer: Transfer) -> None:
    zero = torch.zeros(3).double()
    content = Moments(zero, torch.diag(torch.tensor([1.0, 4.0, 9.0]).double()))
    style = Moments(zero + 2, torch.diag(torch.tensor([4.0, 4.0, 1.0]).double()))
    affine = transfer(content, style, 0.0)
    torch.testing.assert_close(affine.linear, torch.diag(torch.tensor([2.0, 1.0, 1 / 3]).double()))
    torch.testing.assert_close(affine.offset, zero + 2)


def test_the_transport_moves_features_less() -> None:
    content = feature(4)
    own, style = one(moments_of(content)), one(moments_of(feature(5)))
    moved = [
        float((map_(own, style, 0.0)(content) - content).square().mean()) for map_ in (transport, whitening_colouring)
    ]
    assert moved[0] < 0.99 * moved[1]


@TRANSFERS
def test_a_picture_of_one_colour_gives_numbers(transfer: Transfer) -> None:
    flat = Moments(torch.ones(CHANNELS).double(), torch.zeros(CHANNELS, CHANNELS).double())
    style = one(moments_of(feature(6)))
    for content, wanted in ((flat, style), (style, flat), (flat, flat)):
        affine = transfer(content, wanted, 1e-3)
        assert bool(affine.linear.isfinite().all())
        mapped = affine.linear @ content.mean + affine.offset
        torch.testing.assert_close(mapped, wanted.mean)


def test_sums_over_parts_are_those_of_the_whole() -> None:
    whole = feature(7, 40, 30).float() + 100.0
    sums = MomentSums()
    for rows in (slice(0, 7), slice(7, 40)):
        for columns in (slice(0, 13), slice(13, 30)):
            sums.add(whole[:, :, rows, columns])
    found, expected = sums.moments(), one(moments_of(whole.double()))
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-3, atol=1e-2)


def test_maps_are_mixed_in_the_shares_of_what_they_make() -> None:
    content = feature(8)
    own = one(moments_of(content))
    first, second = (transport(own, one(moments_of(feature(seed))), 1e-3) for seed in (9, 10))
    torch.testing.assert_close(
        mixed([first, second], [0.3, 0.7])(content), 0.3 * first(content) + 0.7 * second(content)
    )
    torch.testing.assert_close(mixed([first, first], [0.3, 0.7])(content), first(content))


def test_the_strength_is_the_way_from_the_photos_features() -> None:
    content = feature(11)
    affine = transport(one(moments_of(content)), one(moments_of(feature(12))), 1e-3)
    torch.testing.assert_close(affine.at_strength(0.0)(content), content)
    torch.testing.assert_close(affine.at_strength(0.25)(content), content.lerp(affine(content), 0.25))
    assert isinstance(affine.at_strength(1.0), Affine)
    torch.testing.assert_close(affine.at_strength(1.0)(content), affine(content))
