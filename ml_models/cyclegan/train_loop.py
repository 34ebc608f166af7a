"""One step of the training: both generators, then both discriminators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import l1_loss
from torch.nn.utils.parametrize import cached

from ml_models.cyclegan.brush import brushed
from ml_models.cyclegan.custom_layers import Generator
from ml_models.cyclegan.discriminators import PatchDiscriminator, ProjectedDiscriminator
from ml_models.cyclegan.image_pool import ImagePool
from ml_models.cyclegan.losses import (
    Covariances,
    content_loss,
    covariances,
    cycle_loss,
    discriminator_loss,
    generator_loss,
    strokes,
    style_loss,
    tint_loss,
)
from ml_models.cyclegan.settings import GeneratorSettings, TrainingSettings
from ml_models.encoders.slim import SlimEncoder

DiscriminatorKind = Literal["patch", "projected", "both"]
ENCODER_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
CONTENT_TAP = "relu4_1"
COLOURS = "colours"

Features = Mapping[str, Tensor]


class Discriminator(nn.Module):
    """One or both kinds; the scores of the kinds weigh the same."""

    def __init__(self, kind: DiscriminatorKind, ndf: int) -> None:
        super().__init__()
        self.patch = PatchDiscriminator(ndf) if kind != "projected" else None
        self.projected = ProjectedDiscriminator() if kind != "patch" else None

    def forward(self, image: Tensor, features: Features) -> list[list[Tensor]]:
        """Return the score maps of each kind for an image in -1..1 and its {tap: feature}."""
        scores = [] if self.patch is None else [[self.patch(image)]]
        return scores if self.projected is None else [*scores, self.projected(features)]


class CycleGAN(nn.Module):
    """Four networks, their optimisers and the pools. Pictures are (1, 3, H, W) in -1..1.

    Args:
        forward, reverse: forms of photo to painting and of painting to photo.
        encoder: frozen, in the precision that it is to compute in.
        precision: that the generators and discriminators compute in; their weights are float32.
        generator: draws the first weights, strokes, and from the pools.
    """

    def __init__(
        self,
        forward: GeneratorSettings,
        reverse: GeneratorSettings,
        training: TrainingSettings,
        encoder: SlimEncoder,
        generator: torch.Generator,
        *,
        kind: DiscriminatorKind = "patch",
        ndf: int = 64,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.training_settings, self.encoder, self.precision = training, encoder.requires_grad_(False), precision
        self.to_painting, self.to_photo = Generator(forward), Generator(reverse)
        self.averages = nn.ModuleList([Generator(forward), Generator(reverse)]).requires_grad_(False)
        self.of_paintings, self.of_photos = Discriminator(kind, ndf), Discriminator(kind, ndf)
        self.to_painting.initialise(generator)
        self.to_photo.initialise(generator)
        for network in (self.of_paintings, self.of_photos):
            if network.patch is not None:
                for layer in network.patch.model:
                    if isinstance(layer, nn.Conv2d):
                        nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
        self.averages[0].load_state_dict(self.to_painting.state_dict())
        self.averages[1].load_state_dict(self.to_photo.state_dict())
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        betas = (training.beta_1, training.beta_2)
        self.generators_optimiser = torch.optim.Adam(
            [*self.to_painting.parameters(), *self.to_photo.parameters()], training.learning_rate, betas
        )
        self.discriminators_optimiser = torch.optim.Adam(
            [*self.of_paintings.parameters(), *self.of_photos.parameters()], training.learning_rate, betas
        )
        self.painting_pool = ImagePool(training.pool_size, generator)
        self.photo_pool = ImagePool(training.pool_size, generator)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Return {tap: feature} of the frozen encoder for an image in -1..1; COLOURS are its opponent_colours."""
        image = image.float()
        return {COLOURS: opponent_colours(image), **self.encoder.raw(image * 0.5 + 0.5, ENCODER_TAPS)}

    def set_rate(self, share: float) -> None:
        """Step from now on with this share of the learning rate."""
        for optimiser in (self.generators_optimiser, self.discriminators_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = self.training_settings.learning_rate * share

    def scale_features(self, photos: Features, paintings: Features) -> None:
        """Tell the projected discriminators how large features are, from those of many pictures, (B, C, h, w) each."""
        for network, features in ((self.of_photos, photos), (self.of_paintings, paintings)):
            if network.projected is not None:
                network.projected.scale_by(features)

    def warm_up_step(self, photo: Tensor, painting: Tensor) -> dict[str, float]:
        """Let both generators learn to give back what they get."""
        photo, painting = self._prepared(photo), self._prepared(painting)
        losses = {}
        for name, network in (("to_painting", self.to_painting), ("to_photo", self.to_photo)):
            image = torch.cat([photo, painting])
            losses[name] = l1_loss(network(image).float(), image.float())
        self.generators_optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        self.generators_optimiser.step()
        self._follow(0.9)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def taught_step(self, photo: Tensor, wanted: Covariances, *, undo: bool) -> dict[str, float]:
        """Let one generator learn to give the photo the covariances of paintings, and the other to undo it.

        As Johnson et al. 2016 (arXiv:1603.08155) do with one painting. Without discriminators and ways back it takes a
        third of a step's time, and what it learns the discriminators need not tell.

        Args:
            undo: train the other one too.
        """
        photo = self._prepared(photo)
        painted = self.to_painting(self.brushed(photo))
        losses = self._painting_losses(painted, photo, wanted)
        if undo:
            losses["cycle_photo"] = cycle_loss(self.to_photo(painted.detach()), photo)
        self.generators_optimiser.zero_grad(set_to_none=True)
        self._weighted(losses).backward()  # type: ignore[no-untyped-call]
        self.generators_optimiser.step()
        self._follow(self.training_settings.average_decay)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def step(self, photo: Tensor, painting: Tensor, photo_features: Features, wanted: Covariances) -> dict[str, float]:
        """Train all four networks by one photo and one painting; return the losses by name.

        Args:
            wanted: the covariances that a painting has.
        """
        photo, painting = self._prepared(photo), self._prepared(painting)
        with torch.no_grad():
            painting_features = self.features(painting)
        to_painting, to_photo = self._in_precision(self.to_painting), self._in_precision(self.to_photo)
        painted, pictured = to_painting(self.brushed(photo)), to_photo(painting)
        painted_features, pictured_features = self.features(painted), self.features(pictured)
        settings = self.training_settings
        losses: dict[str, Tensor] = {}
        with _frozen(self.of_paintings), _frozen(self.of_photos), cached():
            for name, network, image, features in (
                ("adversarial_painting", self.of_paintings, painted, painted_features),
                ("adversarial_photo", self.of_photos, pictured, pictured_features),
            ):
                losses[name] = torch.stack([generator_loss(one) for one in network(image, features)]).sum()
        losses["cycle_photo"] = cycle_loss(to_photo(painted), photo)
        losses["cycle_painting"] = cycle_loss(to_painting(self.brushed(pictured)), painting)
        if settings.identity_weight:
            losses["identity_painting"] = l1_loss(to_painting(painting).float(), painting.float())
            losses["identity_photo"] = l1_loss(to_photo(photo).float(), photo.float())
        losses |= self._painting_losses(painted, photo, wanted)
        self.generators_optimiser.zero_grad(set_to_none=True)
        self._weighted(losses).backward()  # type: ignore[no-untyped-call]
        self.generators_optimiser.step()
        self._follow(self.training_settings.average_decay)

        self.discriminators_optimiser.zero_grad(set_to_none=True)
        for name, network, real, real_features, pool, generated in (
            ("of_paintings", self.of_paintings, painting, painting_features, self.painting_pool, painted),
            ("of_photos", self.of_photos, photo, photo_features, self.photo_pool, pictured),
        ):
            older = pool(generated)
            with torch.no_grad():
                older_features = self.features(older)
            with cached():
                on_real, on_generated = network(real, real_features), network(older, older_features)
            parts = [discriminator_loss(*pair) for pair in zip(on_real, on_generated, strict=True)]
            losses[name] = torch.stack(parts).sum()
            losses[name].backward()  # type: ignore[no-untyped-call]
        self.discriminators_optimiser.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _painting_losses(self, painted: Tensor, photo: Tensor, wanted: Covariances) -> dict[str, Tensor]:
        """Return those losses that compare a photo's painting with strokes of paintings and with the photo."""
        settings = self.training_settings
        losses: dict[str, Tensor] = {}
        if settings.style_weight or settings.content_weight:
            features = self.features(strokes(painted))
            losses["style"] = style_loss(covariances(features), wanted)
            with torch.no_grad():
                target = self.features(strokes(photo))[CONTENT_TAP]
            losses["content"] = content_loss(features[CONTENT_TAP], target)
        if settings.tint_weight:
            losses["tint"] = tint_loss(painted, photo, self.to_painting.settings.vividness or 1.0)
        return losses

    def _in_precision(self, network: Generator) -> Callable[[Tensor], Tensor]:
        """Return the network with its weights rounded once for all passes of a step; gradients reach the weights."""
        rounded = {name: weight.to(self.precision) for name, weight in network.named_parameters()}
        return lambda image: functional_call(network, rounded, (image,))

    def _weighted(self, losses: Mapping[str, Tensor]) -> Tensor:
        settings = self.training_settings
        weights = {
            "adversarial": 1.0,
            "cycle": settings.cycle_weight,
            "identity": settings.cycle_weight * settings.identity_weight,
            "style": settings.style_weight,
            "content": settings.content_weight,
            "tint": settings.tint_weight,
        }
        return torch.stack([weights[name.partition("_")[0]] * loss for name, loss in losses.items()]).sum()

    def brushed(self, image: Tensor) -> Tensor:
        """Return what the painter is given of an image in -1..1; gradients pass as if it were the image."""
        if not self.to_painting.settings.brushed:
            return image
        with_strokes = brushed(image.detach(), self.generator).to(image.dtype)
        return self._prepared(image + (with_strokes - image.detach()))

    def _prepared(self, image: Tensor) -> Tensor:
        return image.to(self.precision).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """Move the averages of the generators' weights."""
        for average, network in zip(self.averages, (self.to_painting, self.to_photo), strict=True):
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)

    def state(self) -> dict[str, Any]:
        """Return everything that a later step depends on, but the crops."""
        return {
            "networks": {name: value for name, value in self.state_dict().items() if not name.startswith("encoder.")},
            "optimisers": [self.generators_optimiser.state_dict(), self.discriminators_optimiser.state_dict()],
            "pools": [self.painting_pool.images, self.photo_pool.images],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what state() returned."""
        missing, unexpected = self.load_state_dict(state["networks"], strict=False)
        if unexpected or any(not name.startswith("encoder.") for name in missing):
            raise ValueError(f"the checkpoint is of other networks: {[*missing, *unexpected][:4]}")
        self.generators_optimiser.load_state_dict(state["optimisers"][0])
        self.discriminators_optimiser.load_state_dict(state["optimisers"][1])
        self.painting_pool.images, self.photo_pool.images = (list(images) for images in state["pools"])


def opponent_colours(image: Tensor) -> Tensor:
    """Return lightness, red against blue and both against green, (1, 3, H, W), of RGB in -1..1.

    The last two are enlarged: pictures differ less in them than in lightness, and a palette is made of them.
    """
    red, green, blue = torch.split(image, 1, dim=1)
    return torch.cat([(red + green + blue) / 3, 2 * (red - blue), red + blue - 2 * green], dim=1)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through a network without reaching its weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
