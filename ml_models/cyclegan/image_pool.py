"""Generated pictures of earlier steps, so that a discriminator does not forget them (Shrivastava et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor


class ImagePool:
    """Keeps up to size pictures; gives back, each with one half of the chance, the new picture or an older one.

    arXiv:1612.07828, section 2.3; 50 pictures in Zhu et al. 2017, section 4. An older picture that is given back is
    replaced by the new one. size 0: always the new one.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size = size
        self.images: list[Tensor] = []
        self._generator = generator

    def __call__(self, image: Tensor) -> Tensor:
        """Return a picture of the same shape as image (1, 3, H, W), without its graph."""
        image = image.detach()
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if self.size == 0 or float(torch.rand((), generator=self._generator)) < 0.5:
            return image
        index = int(torch.randint(self.size, (), generator=self._generator))
        older, self.images[index] = self.images[index], image.clone()
        return older

    def clear(self) -> None:
        """Forget everything, for pictures of another size."""
        self.images.clear()
