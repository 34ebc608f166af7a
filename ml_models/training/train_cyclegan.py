"""Train photo to painting and back on unpaired pictures (CycleGAN).

    python -m ml_models.training.train_cyclegan --photos PHOTOS/kaggle_landscape --paintings PAINTINGS/monet300 \
        --held-out PHOTOS/kodak --steps 6000

Without further arguments the losses are those of the paper, with narrower networks. It resumes from its checkpoint,
with the arguments of the new command; without a checkpoint it goes on from the weights files of --initial. Ctrl+C and
SIGTERM end it after a checkpoint. It writes the averaged generator, what else is needed to go on, a log of the losses
and sheets of samples.
"""

from __future__ import annotations

import argparse
import copy
import signal
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import l1_loss
from tqdm import tqdm

from ml_models.cyclegan.custom_layers import STRIDE_PX
from ml_models.cyclegan.losses import Covariances, covariances, strokes
from ml_models.cyclegan.settings import PACKAGED, PACKAGED_REVERSE, TrainingSettings
from ml_models.cyclegan.train_loop import COLOURS, CycleGAN, Features
from ml_models.devices import half_precision
from ml_models.encoders import load_slim
from ml_models.training.log import append_row
from ml_models.training.pictures import ZoomedCrops, find_pictures, load_picture, load_pictures

PACKAGE = Path(__file__).parents[1] / "cyclegan"
#: Beside the packaged generator: the reverse one and the discriminators.
REST = "photo_to_monet_training.safetensors"
CPU = torch.device("cpu")
#: In how many steps the reverse generator is taught once.
UNDO_EVERY = 3
#: Besides their mean colour, crops are matched by the channel means of these; a colour weighs as much as 40 channels.
MATCHED_TAPS = ("relu3_1", "relu4_1")
COLOUR_WEIGHT = 40.0


class MatchedPaintings:
    """Gives a photo's crop a painting's crop of like content: sky for sky, leaves for leaves.

    Crops are described by their mean colour and the channel means of two deep taps, each standardised within its own
    domain, so that what photos and paintings differ in as a whole does not count. Departs from the paper, whose pairs
    are drawn blindly. Matched pairs keep a discriminator from telling photos of streets by their streets.

    Attributes:
        covariances: the mean of those of strokes, over the bolder half of the crops. One aim for all photos: with each
            painting's own, which say another thing in every step, a generator learns what hurts least, which is grey.

    Args:
        count: crops of paintings that are kept.
        candidates: so many of them are compared with each photo; 1: drawn blindly.
    """

    @torch.no_grad()
    def __init__(
        self, model: CycleGAN, photos: ZoomedCrops, paintings: ZoomedCrops, count: int, candidates: int
    ) -> None:
        self._candidates, self._generator = candidates, paintings.generator
        self.crops = [paintings() for _ in range(count)]
        self.covariances: Covariances = {}
        progress = tqdm(self.crops, desc="paintings", unit="crop")
        described = [self._describe(model.features(crop * 2 - 1)) for crop in progress]
        bolder = sorted(self.crops, key=lambda crop: float(strokes(crop).square().mean()))[count // 2 :]
        for crop in tqdm(bolder, desc="strokes", unit="crop"):
            for tap, covariance in covariances(model.features(strokes(crop * 2 - 1))).items():
                self.covariances[tap] = self.covariances.get(tap, 0) + covariance / len(bolder)
        of_photos = torch.stack([self._describe(model.features(photos() * 2 - 1)) for _ in range(min(count, 128))])
        of_paintings = torch.stack(described)
        self._mean, self._deviation = of_photos.mean(0), of_photos.std(0) + 1e-3
        self._described = (of_paintings - of_paintings.mean(0)) / (of_paintings.std(0) + 1e-3)
        self._described[:, :3] *= COLOUR_WEIGHT
        self._described /= self._described.norm(dim=1, keepdim=True)

    @staticmethod
    def _describe(features: Features) -> Tensor:
        return torch.cat([features[tap].float().mean(dim=(0, 2, 3)) for tap in (COLOURS, *MATCHED_TAPS)])

    def __call__(self, photo_features: Features) -> Tensor:
        """Return the most alike of the crops that are drawn, in 0..1."""
        drawn = torch.randint(len(self.crops), (self._candidates,), generator=self._generator)
        chosen = 0
        if self._candidates > 1:
            wanted = (self._describe(photo_features) - self._mean) / self._deviation
            chosen = int((self._described[drawn] @ wanted).argmax())
        return self.crops[int(drawn[chosen])]


def trimmed(picture: Tensor) -> Tensor:
    """Return uint8 (3, H, W) as (1, 3, h, w) in -1..1, cut to multiples of the generators' stride."""
    height, width = (side - side % STRIDE_PX for side in picture.shape[1:])
    return picture[None, :, :height, :width].float() / 127.5 - 1


@torch.no_grad()
def evaluate(model: CycleGAN, photos: Sequence[Tensor], paintings: Sequence[Tensor]) -> dict[str, float]:
    """Return the mean cycle and identity losses of the averaged generators over whole pictures."""
    to_photo = model.averages[1]

    def to_painting(image: Tensor) -> Tensor:
        return model.averages[0](model.brushed(image))  # type: ignore[no-any-return]

    losses: dict[str, list[float]] = {}
    for name, pictures, there, back in (
        ("photo", photos, to_painting, to_photo),
        ("painting", paintings, to_photo, to_painting),
    ):
        for picture in pictures:
            image = trimmed(picture).to(model.precision).contiguous(memory_format=torch.channels_last)
            losses.setdefault(f"cycle_{name}", []).append(float(l1_loss(back(there(image)).float(), image.float())))
            losses.setdefault(f"identity_{name}", []).append(float(l1_loss(back(image).float(), image.float())))
    return {name: round(sum(values) / len(values), 4) for name, values in losses.items()}


@torch.no_grad()
def draw_samples(model: CycleGAN, photos: Sequence[Tensor], path: Path) -> None:
    """Write a sheet: a row of photos, of their paintings, and of the photos made of these."""
    columns = []
    for picture in photos:
        image = trimmed(picture).to(model.precision).contiguous(memory_format=torch.channels_last)
        painted = model.averages[0](model.brushed(image))
        column = torch.cat([image, painted, model.averages[1](painted)], dim=2)[0].float()
        columns.append(((column * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0))
    height = min(len(column) for column in columns)
    joined = torch.cat([column[:height] for column in columns if len(column) == height], dim=1)
    Image.fromarray(joined.contiguous().numpy()).save(path)


def rate_share(step: int, steps: int, decay_from: float) -> float:
    """Return 1, and from the share decay_from of all steps on a line that ends at 0, as in the paper."""
    begins = decay_from * steps
    return 1.0 if step < begins else max(0.0, (steps - step) / (steps - begins))


def stage_of(step: int, arguments: argparse.Namespace) -> tuple[str, float]:
    """Return what is trained in this step, and its learning rate."""
    for stage, until in (("warm-up", arguments.warm_up), ("taught", arguments.warm_up + arguments.taught)):
        if step < until:
            return stage, arguments.warm_up_rate
    return "all", arguments.learning_rate * rate_share(step, arguments.steps, arguments.decay_from)


def export(model: CycleGAN, folder: Path, steps: int) -> None:
    """Write both weights files, the averaged generators and the discriminators, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"steps": str(steps)}

    def half(state: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
        return {prefix + name: value.detach().half().contiguous() for name, value in state.items()}

    save_file(half(model.averages[0].state_dict()), folder / "photo_to_monet.safetensors", metadata)
    rest = half(model.averages[1].state_dict(), "to_photo.")
    for name in ("of_paintings", "of_photos"):
        rest |= half(getattr(model, name).state_dict(), f"{name}.")
    save_file(rest, folder / REST, metadata)


def load_exported(model: CycleGAN, folder: Path) -> int:
    """Go on from what export() wrote; return the steps that it had taken. Adam and the pools begin anew."""
    painting, rest = load_file(folder / "photo_to_monet.safetensors"), load_file(folder / REST)
    for network in (model.to_painting, model.averages[0]):
        network.load_state_dict(painting)
    parts: dict[str, dict[str, Tensor]] = {"to_photo": {}, "of_paintings": {}, "of_photos": {}}
    for name, value in rest.items():
        part, _, key = name.partition(".")
        parts[part][key] = value
    for network in (model.to_photo, model.averages[1]):
        network.load_state_dict(parts["to_photo"])
    model.of_paintings.load_state_dict(parts["of_paintings"])
    model.of_photos.load_state_dict(parts["of_photos"])
    with safe_open(folder / "photo_to_monet.safetensors", "pt") as file:
        return int((file.metadata() or {}).get("steps", 0))


def settings_of(arguments: argparse.Namespace) -> TrainingSettings:
    names = [setting.name for setting in fields(TrainingSettings) if hasattr(arguments, setting.name)]
    return TrainingSettings(**{name: getattr(arguments, name) for name in names})


def build(arguments: argparse.Namespace, generator: torch.Generator) -> CycleGAN:
    precision = half_precision(CPU) if arguments.half else torch.float32
    encoder = copy.deepcopy(load_slim()).to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # After the encoder, whose making draws too, but only once a process.
    torch.manual_seed(arguments.seed)
    return CycleGAN(
        replace(PACKAGED, ngf=arguments.ngf, blocks=arguments.blocks),
        replace(PACKAGED_REVERSE, ngf=arguments.reverse_ngf, blocks=arguments.reverse_blocks),
        settings_of(arguments),
        encoder,
        generator,
        kind=arguments.discriminator,
        ndf=arguments.ndf,
        precision=precision,
    )


def train(arguments: argparse.Namespace) -> dict[str, float]:
    """Train until arguments.steps or a signal; return the last step's losses."""
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(arguments.seed)
    model = build(arguments, generator)
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"

    short_px = arguments.short_side
    groups, shares = [load_pictures(arguments.photos, arguments.held_out, short_px, arguments.stride)], [1.0]
    if arguments.more_photos:
        groups.append(load_pictures(arguments.more_photos, arguments.held_out, short_px, arguments.stride))
        shares = [1 - arguments.more_share, arguments.more_share]
    paintings = [load_pictures(arguments.paintings, arguments.held_out, short_px, arguments.stride)]
    held_out = [load_picture(path, arguments.sample_px) for path in find_pictures(arguments.held_out)]
    crop_px = arguments.crop
    photo_crops = ZoomedCrops(groups, shares, crop_px, tuple(arguments.photo_zoom), generator)
    painting_crops = ZoomedCrops(paintings, [1.0], crop_px, tuple(arguments.painting_zoom), generator)

    step, seconds, earlier = 0, 0.0, 0
    state: dict[str, Any] | None = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None
    if state is None and arguments.initial:
        earlier = load_exported(model, arguments.initial)
    matched = MatchedPaintings(model, photo_crops, painting_crops, arguments.bank, arguments.candidates)
    with torch.no_grad():
        photo_sample = torch.cat([photo_crops() for _ in range(16)])
        painting_sample = torch.cat(matched.crops[:16])
        if state is None and not arguments.initial:
            model.scale_features(model.features(photo_sample * 2 - 1), model.features(painting_sample * 2 - 1))
    if state is not None:
        model.load_state(state["model"])
        generator.set_state(state["generator"])
        step, seconds, earlier = state["step"], state["seconds"], state["earlier"]
        if state["crop_px"] != crop_px:
            model.painting_pool.clear()
            model.photo_pool.clear()

    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def keep() -> None:
        kept = {"model": model.state(), "generator": generator.get_state(), "crop_px": crop_px}
        kept |= {"step": step, "seconds": seconds, "earlier": earlier}
        torch.save(kept, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
        export(model, arguments.output, earlier + step)

    losses: dict[str, float] = {}
    log = folder / "losses.jsonl"
    progress = tqdm(total=arguments.steps, initial=step, unit="step")
    while step < arguments.steps and not stopped:
        started = time.perf_counter()
        photo = photo_crops() * 2 - 1
        stage, rate = stage_of(step, arguments)
        model.set_rate(rate / arguments.learning_rate)
        if stage == "warm-up":
            losses = model.warm_up_step(photo, painting_crops() * 2 - 1)
        elif stage == "taught":
            losses = model.taught_step(photo, matched.covariances, undo=step % UNDO_EVERY == 0)
        else:
            with torch.no_grad():
                photo_features = model.features(photo)
            losses = model.step(photo, matched(photo_features) * 2 - 1, photo_features, matched.covariances)
        step += 1
        seconds += time.perf_counter() - started
        progress.update()
        if step % arguments.log_every == 0:
            row = {name: round(value, 4) for name, value in losses.items()}
            append_row(log, {"step": step, "seconds": round(seconds), **row})
            progress.set_postfix(cycle=f"{losses.get('cycle_photo', 0):.3f}")
        if step % arguments.keep_every == 0:
            keep()
            if held_out:
                draw_samples(model, held_out[: arguments.samples], folder / f"sample-{step:06d}.png")
    keep()
    if held_out and not stopped:
        paintings_seen = paintings[0][:: max(1, len(paintings[0]) // 16)]
        measured = evaluate(model, held_out, paintings_seen)
        append_row(log, {"step": step, "seconds": round(seconds), "held_out": measured})
        draw_samples(model, held_out[: arguments.samples], folder / f"sample-{step:06d}.png")
    progress.close()
    for number, handler in previous.items():
        signal.signal(number, handler)
    return losses


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, paper = parser.add_argument, TrainingSettings()
    add("--photos", type=Path, action="append", required=True)
    add("--more-photos", type=Path, action="append", default=[], help="photos of other subjects, drawn less often")
    add("--more-share", type=float, default=0.3, help="how often these are drawn")
    add("--paintings", type=Path, action="append", required=True)
    add("--held-out", type=Path, action="append", default=[], help="photos for samples and the last measures")
    add("--stride", type=int, default=1, help="take every n-th picture, for a trial")
    add("--short-side", type=int, default=256, help="pixels that pictures are read at")
    add("--crop", type=int, default=256, help="pixels of a crop, a multiple of 8")
    add("--photo-zoom", type=float, nargs=2, default=(0.9, 1.0), help="side that is cut out, in crops")
    add("--painting-zoom", type=float, nargs=2, default=(0.9, 1.0))
    add("--bank", type=int, default=1000, help="crops of paintings that are kept")
    add("--candidates", type=int, default=1, help="painting crops that are compared with a photo's; 1: blindly drawn")
    add("--ngf", type=int, default=PACKAGED.ngf)
    add("--blocks", type=int, default=PACKAGED.blocks)
    add("--reverse-ngf", type=int, default=PACKAGED_REVERSE.ngf)
    add("--reverse-blocks", type=int, default=PACKAGED_REVERSE.blocks)
    add("--discriminator", choices=("patch", "projected", "both"), default="patch")
    add("--ndf", type=int, default=64, help="of the patch discriminators")
    add("--cycle-weight", type=float, default=paper.cycle_weight)
    add("--identity-weight", type=float, default=paper.identity_weight, help="as a share of the cycle weight")
    add("--style-weight", type=float, default=paper.style_weight)
    add("--content-weight", type=float, default=paper.content_weight)
    add("--tint-weight", type=float, default=paper.tint_weight)
    add("--learning-rate", type=float, default=paper.learning_rate)
    add("--average-decay", type=float, default=paper.average_decay)
    add("--steps", type=int, default=200_000)
    add("--decay-from", type=float, default=0.5, help="share of the steps after which the rate falls to 0")
    add("--warm-up", type=int, default=0, help="first steps, in which the generators learn to give back what they get")
    add("--taught", type=int, default=0, help="next steps, in which style and content weights alone teach the painter")
    add("--warm-up-rate", type=float, default=1e-3, help="learning rate of both")
    add("--half", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 where the processor has it")
    add("--threads", type=int, default=2)
    add("--seed", type=int, default=0)
    add("--initial", type=Path, help="folder of the weights files to go on from where there is no checkpoint")
    add("--folder", type=Path, default=Path("data/training/cyclegan"), help="checkpoint, log and samples")
    add("--output", type=Path, default=PACKAGE / "pretrained_models", help="folder of the weights files")
    add("--samples", type=int, default=6)
    add("--sample-px", type=int, default=256, help="shorter side of the held-out photos")
    add("--log-every", type=int, default=20)
    add("--keep-every", type=int, default=500)
    return parser


def main() -> None:
    train(parser().parse_args())


if __name__ == "__main__":
    main()
