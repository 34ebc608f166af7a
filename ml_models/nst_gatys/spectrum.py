"""The curvature of the loss by spatial frequency and colour axis: what L-BFGS starts its estimate from."""

from __future__ import annotations

import torch
from torch import Tensor

#: Rings of frequency, equal in the square root of the radius: fine at the low end, where curvature changes fast.
RINGS = 24
#: Lightness and two opponent colours, orthonormal.
COLOUR_AXES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))


class SpectralScaling:
    """Multiplies a gradient by the inverse curvature of each ring of frequencies and each colour axis.

    A picture's loss is far steeper along some frequencies than along others, and a single number, with which L-BFGS
    usually begins, fits none of them. The curvatures are read off the pairs of steps and changes of the gradient that
    L-BFGS keeps anyway. The map is symmetric and positive, as it has to be.

    Args:
        like: (1, 3, H, W).
    """

    def __init__(self, like: Tensor) -> None:
        self.shape = like.shape[1:]
        axes = torch.tensor(COLOUR_AXES, device=like.device)
        self.axes = axes / axes.norm(dim=1, keepdim=True)
        rows = torch.fft.fftfreq(self.shape[1], device=like.device)
        columns = torch.fft.rfftfreq(self.shape[2], device=like.device)
        radius = (rows[:, None].square() + columns[None].square()).sqrt() / 0.5**0.5
        self.rings = (radius.sqrt() * RINGS).long().clamp_max(RINGS - 1)
        self._flat_rings = self.rings.flatten()

    def spectrum(self, flat: Tensor) -> Tensor:
        """Return the Fourier transform (3, H, W // 2 + 1) of an image's colour axes, flat in."""
        spectrum: Tensor = torch.fft.rfft2(self._colours(self.axes, flat.view(self.shape)), norm="ortho")
        return spectrum

    def measure(self, step: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Return by axis and ring, both (3, RINGS): step times change, and change squared."""
        one, other = self.spectrum(step), self.spectrum(change)
        return self._by_ring((one.conj() * other).real), self._by_ring(other.abs().square())

    def apply(self, flat: Tensor, inverse_curvature: Tensor) -> Tensor:
        """Return the image (flat) with each axis and ring multiplied by its entry of (3, RINGS)."""
        spectrum = self.spectrum(flat).mul_(inverse_curvature[:, self.rings])
        image = torch.fft.irfft2(spectrum, s=self.shape[1:], norm="ortho")
        return self._colours(self.axes.T, image).reshape(-1)

    @staticmethod
    def _colours(matrix: Tensor, image: Tensor) -> Tensor:
        return torch.einsum("ij,jhw->ihw", matrix, image)

    def _by_ring(self, values: Tensor) -> Tensor:
        result = torch.zeros(3, RINGS, device=values.device)
        return result.index_add_(1, self._flat_rings, values.reshape(3, -1))
