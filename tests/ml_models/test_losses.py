"""The mathematics by known answers; a 1x1 convolution stands in for a network."""

import pytest
import torch

from ml_models.losses import (
    embedded_second_moment,
    gram_matrix,
    mean_and_deviation,
    positions_first,
    second_moment,
    total_variation,
)
from ml_models.nst_gatys.custom_layers import augmented_moment


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


def test_positions_of_a_part_and_the_way_back() -> None:
    one = feature().contiguous(memory_format=torch.channels_last).requires_grad_(True)
    rows, columns = slice(1, 4), slice(2, 5)
    flat = positions_first(one, rows, columns)
    torch.testing.assert_close(flat, one[0, :, rows, columns].permute(1, 2, 0).reshape(9, 4))
    weights = torch.rand(9, 4)
    (gradient,) = torch.autograd.grad((flat * weights).sum(), one)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    (expected,) = torch.autograd.grad((one[0, :, rows, columns].permute(1, 2, 0).reshape(9, 4) * weights).sum(), one)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("piece_values", [1, 20, 1 << 20])
def test_moments_in_pieces_and_their_gradients(piece_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_models.losses.PIECE_VALUES", piece_values)
    flat = positions_first(feature()).requires_grad_(True)
    weight, bias = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)), torch.linspace(-1, 1, 7)
    embedded = torch.relu(flat @ weight.T + bias)
    pairs = (
        (second_moment(flat), flat.T @ flat),
        (embedded_second_moment(flat, weight, bias), embedded.T @ embedded),
    )
    for ours, plain in pairs:
        torch.testing.assert_close(ours, plain)
        scale = torch.rand(plain.shape)
        gradients = [torch.autograd.grad((value * scale).sum(), flat, retain_graph=True)[0] for value in (ours, plain)]
        torch.testing.assert_close(*gradients)


def test_halves_are_summed_in_full_precision() -> None:
    ones = torch.ones(300_000, 2, dtype=torch.bfloat16)
    # A sum kept in halves would be a multiple of 2048.
    assert second_moment(ones)[0].tolist() == pytest.approx([300_000.0] * 2, rel=3e-4)
    assert augmented_moment(ones)[2].tolist() == [300_000.0] * 3


def test_an_affine_map_of_the_augmented_moment_is_the_moment_of_the_mapped() -> None:
    flat, weight, bias = torch.randn(50, 4), torch.randn(6, 4), torch.randn(6)
    affine = torch.cat([weight, bias[:, None]], dim=1)
    mapped = flat @ weight.T + bias
    torch.testing.assert_close(affine @ augmented_moment(flat) @ affine.T, mapped.T @ mapped, rtol=1e-4, atol=1e-4)


def test_mean_and_deviation_of_a_known_feature() -> None:
    mean, deviation = mean_and_deviation(torch.tensor([[[[1.0, 3.0]]]]))
    assert mean.item() == 2.0
    assert deviation.item() == pytest.approx(1.0, abs=1e-5)


def test_total_variation_of_a_step() -> None:
    step = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    assert total_variation(step).item() == 1.0
    assert total_variation(torch.ones(1, 3, 4, 4)).item() == 0.0
