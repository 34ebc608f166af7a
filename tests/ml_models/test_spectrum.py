"""The scaling by frequency: its Fourier transform is orthonormal, and it reads off a known curvature."""

import torch
from torch import Tensor

from ml_models.nst_gatys.optimizer import History
from ml_models.nst_gatys.spectrum import RINGS, SpectralScaling

SHAPE = (1, 3, 24, 17)


def noise(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)).flatten()


def test_ones_change_nothing_and_a_number_scales() -> None:
    scaling = SpectralScaling(torch.zeros(SHAPE))
    image = noise(0)
    torch.testing.assert_close(scaling.apply(image, torch.ones(3, RINGS)), image)
    torch.testing.assert_close(scaling.apply(image, torch.full((3, RINGS), 0.3)), 0.3 * image)


def test_it_is_symmetric_and_positive() -> None:
    scaling = SpectralScaling(torch.zeros(SHAPE))
    inverse = torch.rand(3, RINGS, generator=torch.Generator().manual_seed(1)) + 0.01
    one, other = noise(2), noise(3)
    torch.testing.assert_close(one @ scaling.apply(other, inverse), other @ scaling.apply(one, inverse))
    assert float(one @ scaling.apply(one, inverse)) > 0


def test_the_curvature_of_a_quadratic_is_read_off_its_pairs() -> None:
    """Where curvature depends on frequency alone, one pair is enough for the way down along every gradient."""
    scaling = SpectralScaling(torch.zeros(SHAPE))
    curvature = torch.linspace(0.2, 3.0, 3 * RINGS).view(3, RINGS)
    history = History(3, torch.zeros(SHAPE))
    step = noise(4)
    history.add(step, scaling.apply(step, curvature))
    met = history.products[1] > 0
    torch.testing.assert_close(history.inverse_curvature()[met], 1 / curvature[met], rtol=1e-3, atol=1e-3)
    gradient = noise(5)
    torch.testing.assert_close(
        history.direction(gradient), -scaling.apply(gradient, 1 / curvature), rtol=1e-3, atol=1e-3
    )
