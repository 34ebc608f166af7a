"""The mathematics by known answers; a 1x1 convolution stands in for a network."""

import pytest
import torch

from ml_models.losses import gram_matrix, mean_and_deviation, total_variation
from ml_models.nst_gatys.custom_layers import ContentLoss, StyleLoss, weighted_mean


def feature(channels: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, channels, 6, 5, generator=torch.Generator().manual_seed(seed))


def test_gram_matrix_of_a_known_feature() -> None:
    known = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    torch.testing.assert_close(gram_matrix(known), torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4)


def test_gram_matrix_knows_neither_place_nor_size_nor_memory_format() -> None:
    one = feature()
    torch.testing.assert_close(gram_matrix(one), gram_matrix(one.flip(2)))
    torch.testing.assert_close(gram_matrix(one), gram_matrix(torch.cat([one, one], dim=2)))
    torch.testing.assert_close(gram_matrix(one), gram_matrix(one.contiguous(memory_format=torch.channels_last)))


def test_mean_and_deviation_of_a_known_feature() -> None:
    mean, deviation = mean_and_deviation(torch.tensor([[[[1.0, 3.0]]]]))
    assert mean.item() == 2.0
    assert deviation.item() == pytest.approx(1.0, abs=1e-5)


def test_total_variation_of_a_step() -> None:
    step = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    assert total_variation(step).item() == 1.0
    assert total_variation(torch.ones(1, 3, 4, 4)).item() == 0.0


def test_content_and_style_losses_are_zero_at_their_targets_and_only_there() -> None:
    one, other = feature(), feature(seed=5)
    for loss in (ContentLoss(one), StyleLoss([one], [1.0])):
        assert loss(one).item() == 0.0
        assert loss(other).item() > 0.0


def test_two_styles_are_mixed_by_their_shares() -> None:
    one, other = feature(), feature(seed=5)
    mixed = StyleLoss([one, other], [3.0, 1.0])
    torch.testing.assert_close(mixed.target, 0.75 * gram_matrix(one) + 0.25 * gram_matrix(other))
    torch.testing.assert_close(weighted_mean([torch.ones(1), torch.zeros(1)], [7.0, 3.0]), torch.tensor([0.7]))


def test_relative_losses_do_not_depend_on_the_scale_of_a_layer() -> None:
    one, other = feature(), feature(seed=5)
    content = [ContentLoss(scale * one, relative=True)(scale * other) for scale in (1.0, 10.0)]
    style = [StyleLoss([scale * one], [1.0], relative=True)(scale * other) for scale in (1.0, 10.0)]
    torch.testing.assert_close(content[0], content[1])
    torch.testing.assert_close(style[0], style[1])
    assert StyleLoss([one], [1.0], relative=True)(torch.zeros_like(one)).item() == pytest.approx(1.0)
