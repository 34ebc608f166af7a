"""The mathematics by known answers; a 1x1 convolution stands in for a network."""

import pytest
import torch

from ml_models.losses import embedded_gram_matrix, gram_matrix, mean_and_deviation, total_variation
from ml_models.nst_gatys.custom_layers import ContentLoss, StyleLoss, weighted_mean


def feature(channels: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, channels, 6, 5, generator=torch.Generator().manual_seed(seed))


def test_gram_matrix_of_a_known_feature() -> None:
    known = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    torch.testing.assert_close(gram_matrix(known), torch.tensor([[5.0, 11.0], [11.0, 25.0]]) / 4)


def test_gram_matrix_knows_neither_place_nor_size_nor_memory_format() -> None:
    one = feature()
    torch.testing.assert_close(gram_matrix(one), gram_matrix(one.flip(2)))
    torch.testing.assert_close(gram_matrix(one), gram_matrix(torch.cat([one, one], dim=2)))
    torch.testing.assert_close(gram_matrix(one), gram_matrix(one.contiguous(memory_format=torch.channels_last)))


def test_embedded_gram_matrix_is_that_of_the_embedded_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)), torch.linspace(-1, 1, 7)
    embedded = torch.relu(torch.nn.functional.conv2d(feature(), weight[:, :, None, None], bias))
    for piece_values in (1, 50, 1 << 20):
        monkeypatch.setattr("ml_models.losses.PIECE_VALUES", piece_values)
        torch.testing.assert_close(embedded_gram_matrix(feature(), weight, bias), gram_matrix(embedded))


@pytest.mark.parametrize("piece_values", [20, 1 << 20])
def test_gradients_of_the_gram_matrices(piece_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_models.losses.PIECE_VALUES", piece_values)
    one = feature().double().requires_grad_(True)
    weight, bias = torch.randn(7, 4, dtype=torch.double), torch.randn(7, dtype=torch.double)
    assert torch.autograd.gradcheck(gram_matrix, one)
    assert torch.autograd.gradcheck(lambda value: embedded_gram_matrix(value, weight, bias), one)


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
    assert ContentLoss(one)(one).item() == 0.0
    assert ContentLoss(one)(other).item() > 0.0
    assert StyleLoss([gram_matrix(one)], [1.0])(gram_matrix(one)).item() == 0.0
    assert StyleLoss([gram_matrix(one)], [1.0])(gram_matrix(other)).item() > 0.0


def test_two_styles_are_mixed_by_their_shares() -> None:
    one, other = gram_matrix(feature()), gram_matrix(feature(seed=5))
    torch.testing.assert_close(StyleLoss([one, other], [3.0, 1.0]).target, 0.75 * one + 0.25 * other)
    torch.testing.assert_close(weighted_mean([torch.ones(1), torch.zeros(1)], [7.0, 3.0]), torch.tensor([0.7]))


def test_relative_losses_do_not_depend_on_the_scale_of_a_layer() -> None:
    one, other = feature(), feature(seed=5)
    content = [ContentLoss(scale * one, relative=True)(scale * other) for scale in (1.0, 10.0)]
    style = [
        StyleLoss([gram_matrix(scale * one)], [1.0], relative=True)(gram_matrix(scale * other)) for scale in (1.0, 10.0)
    ]
    torch.testing.assert_close(content[0], content[1])
    torch.testing.assert_close(style[0], style[1])
    nothing = StyleLoss([gram_matrix(one)], [1.0], relative=True)(torch.zeros(4, 4))
    assert nothing.item() == pytest.approx(1.0)
