"""Distil UltraST's encoder, conv1_1 to conv5_1 at a quarter of VGG19's widths.

    python -m ml_models.training.train_ultrast_encoder --oxford vgg_normalised_relu4_1.safetensors \
        --published ultrast_official --photos PHOTOS --paintings PAINTINGS --held-out PHOTOS/kodak \
        --held-out PAINTINGS/styleid_sty --steps 2500

Its features, through 1x1 embeddings, learn relu1_1 to relu4_1 of the Oxford VGG19 (Wang et al. 2020, arXiv:2003.08436,
section 3.1) and relu5_1 of the published SE_5. Resumes from its checkpoint. `train_ultrast` goes on with what it made.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, mse_loss
from tqdm import tqdm

from ml_models.encoders.teacher import OxfordVGG19
from ml_models.training.optimiser import Optimiser, average_into, rate_share
from ml_models.training.pictures import CropSampler, find_pictures, load_picture
from ml_models.ultrast.custom_layers import GREY, WIDTHS, Encoder, shrinkage
from ml_models.ultrast.published import encoder_shapes, find_file, published_encoder, read_file

BATCH_SIZE = 6
MARGIN_PX = 16
#: With the margin, which only gives the rest its neighbourhood.
CROP_PX = 128 + 2 * MARGIN_PX
DISTURBED_SHARE = 0.3
#: Channels of the teachers' relu1_1 to relu5_1; the last is the published SE_5's.
TEACHER_WIDTHS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 128}
#: relu1_1 is learnt within minutes and costs most: every third crop is enough.
FULL_SIZE_STRIDE = 3
AVERAGE_DECAY = 0.998
CHECKPOINT_STEPS = 200


class Student(nn.Module):
    """The encoder with the embeddings of its features, which are not needed any more after training.

    An embedded feature is the teacher's, divided by its root mean square over some crops: `scales`, relu1_1 to relu5_1.
    """

    scales: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scales", torch.ones(len(TEACHER_WIDTHS)))
        self.encoder = Encoder()
        self.embeddings = nn.ModuleDict(
            {
                f"relu{stage}_1": nn.Conv2d(WIDTHS[f"conv{stage}_1"], channels, 1)
                for stage, channels in TEACHER_WIDTHS.items()
            }
        )

    def embed(self, stage: int, feature: Tensor) -> Tensor:
        """Return the teacher's feature that relu{stage}_1 stands for."""
        embedding = self.embeddings[f"relu{stage}_1"]
        return conv2d(feature, embedding.weight, embedding.bias).relu_()  # type: ignore[arg-type]

    def kernels(self) -> list[Tensor]:
        """Return what Muon optimises; conv1_1, whose rows are few and short, is left to Adam."""
        return [c.weight for name, c in self.encoder.convolutions.items() if name != "conv1_1"]  # type: ignore[misc]


class Teachers(nn.Module):
    """The Oxford VGG19's relu1_1 to relu4_1 and the published SE_5's relu5_1, each divided by its root mean square."""

    scales: Tensor

    def __init__(self, oxford: Path, published: Path) -> None:
        super().__init__()
        self.oxford = OxfordVGG19(oxford)
        self.published = published_encoder(5, read_file(find_file(published, "5SE"), encoder_shapes(5)))
        self.register_buffer("scales", torch.ones(len(TEACHER_WIDTHS)))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def forward(self, crops: Tensor) -> dict[int, Tensor]:
        """Return {stage: feature} of crops (B, 3, H, W) in 0..1."""
        oxford = self.oxford(crops)
        features = {stage: oxford[f"relu{stage}_1"] for stage in (1, 2, 3, 4)}
        features |= self.published(crops - GREY, [5])
        return {stage: feature / self.scales[stage - 1] for stage, feature in features.items()}

    def measure(self, crops: Tensor) -> dict[int, float]:
        """Set the scales by these crops and return the mean variance of each stage's channels after division."""
        self.scales.fill_(1.0)
        for stage, feature in self(crops).items():
            self.scales[stage - 1] = feature.square().mean().sqrt()
        return {stage: float(feature.var(dim=(0, 2, 3)).mean()) for stage, feature in self(crops).items()}


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Add a line of JSON to a log."""
    with path.open("a") as log:
        log.write(json.dumps(row) + "\n")


def initialise(network: nn.Module) -> None:
    """Fill the convolutions as He et al. 2015 (arXiv:1502.01852) do, biases with zeros."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def inner(stage: int, feature: Tensor, margin_px: int = MARGIN_PX) -> Tensor:
    """Cut the margin off a feature of a crop."""
    cut = margin_px // shrinkage(stage)
    return feature[:, :, cut:-cut, cut:-cut]


@torch.no_grad()
def evaluate(student: Student, teachers: Teachers, pictures: list[Path]) -> dict[str, float]:
    """Return {tap: share of variance explained} over held-out pictures of 256 px of the shorter side."""
    totals = {stage: [0.0, 0.0] for stage in TEACHER_WIDTHS}
    for path in pictures:
        image = load_picture(path, 256).float().div(255).unsqueeze(0)
        image = image[:, :, : image.shape[2] // 16 * 16, : image.shape[3] // 16 * 16]
        targets = teachers(image)
        for stage, feature in student.encoder(image - GREY, tuple(TEACHER_WIDTHS)).items():
            target = inner(stage, targets[stage])
            deviation = target - target.mean(dim=(2, 3), keepdim=True)
            totals[stage][0] += float((inner(stage, student.embed(stage, feature)) - target).square().sum())
            totals[stage][1] += float(deviation.square().sum())
    return {f"relu{stage}_1": round(1 - error / variance, 4) for stage, (error, variance) in totals.items()}


def distillation_losses(
    student: Student, features: dict[int, Tensor], targets: dict[int, Tensor], variances: dict[int, float]
) -> dict[int, Tensor]:
    """Return {stage: squared error of the embedded feature, 1.0 where nothing but the mean is known}."""
    losses = {}
    for stage, target in targets.items():
        stride = FULL_SIZE_STRIDE if stage == 1 else 1
        estimate = student.embed(stage, inner(stage, features[stage][::stride]))
        losses[stage] = mse_loss(estimate.float(), inner(stage, target[::stride]).float()) / variances[stage]
    return losses


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    teachers = Teachers(arguments.oxford, arguments.published)
    student, average = Student(), Student()
    initialise(student)
    average.load_state_dict(student.state_dict())
    excluded = tuple(folder.name for folder in arguments.held_out)
    held_out = find_pictures(arguments.held_out)[::6]

    def load(folders: list[Path]) -> list[Tensor]:
        paths = find_pictures(folders, excluded)[:: arguments.stride]
        return [load_picture(path, arguments.short_side) for path in tqdm(paths, desc="reading", unit="picture")]

    sampler = CropSampler(load(arguments.photos), load(arguments.paintings), [], CROP_PX, arguments.seed)
    kernels = student.kernels()
    chosen = {id(kernel) for kernel in kernels}
    optimiser = Optimiser(kernels, [each for each in student.parameters() if id(each) not in chosen])
    variances = teachers.measure(sampler.batch(16, 0.0))
    step, seconds = 0, 0.0
    if arguments.checkpoint.exists():
        state = torch.load(arguments.checkpoint, weights_only=True)
        student.load_state_dict(state["student"])
        average.load_state_dict(state["average"])
        optimiser.load(state["optimiser"])
        sampler.generator.set_state(state["generator"])
        teachers.scales.copy_(state["scales"])
        step, seconds, variances = state["step"], state["seconds"], state["variances"]
    for network in (student, average):
        network.scales.copy_(teachers.scales)
    teachers.oxford.to(torch.bfloat16)  # its rounding is far below what the student leaves unexplained
    teachers.published.to(torch.bfloat16)
    log = arguments.checkpoint.with_suffix(".log.jsonl")
    progress = tqdm(range(step, arguments.steps), initial=step, total=arguments.steps, unit="step")
    for step in progress:
        started = time.perf_counter()
        crops = sampler.batch(BATCH_SIZE, DISTURBED_SHARE).contiguous(memory_format=torch.channels_last)
        targets = teachers(crops.to(torch.bfloat16))
        with torch.autocast("cpu", torch.bfloat16):
            features = student.encoder(crops - GREY, tuple(TEACHER_WIDTHS))
            losses = distillation_losses(student, features, targets, variances)
        loss = torch.stack(list(losses.values())).sum()
        student.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step(rate_share(step, step / arguments.steps))
        average_into(average, student, step, AVERAGE_DECAY)
        seconds += time.perf_counter() - started
        if step % 20 == 0:
            row: dict[str, object] = {"step": step, "loss": float(loss.detach()), "seconds": round(seconds)}
            explained = {f"relu{stage}_1": round(1 - float(value.detach()), 4) for stage, value in losses.items()}
            append_row(log, row | explained)
            progress.set_postfix(loss=f"{float(loss.detach()):.3f}")
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == arguments.steps:
            state = {"student": student.state_dict(), "average": average.state_dict(), "seconds": seconds}
            state |= {"optimiser": optimiser.state(), "generator": sampler.generator.get_state(), "step": step + 1}
            torch.save(state | {"scales": teachers.scales, "variances": variances}, arguments.checkpoint)
            tensors = {name: value.contiguous() for name, value in average.state_dict().items()}
            save_file(tensors, arguments.output, {"steps": str(step + 1), "seconds": str(round(seconds))})
    teachers.float()
    explained = evaluate(average, teachers, held_out)
    append_row(log, {"step": arguments.steps, "seconds": round(seconds), "held_out": explained})
    print(explained)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oxford", type=Path, required=True, help="vgg_normalised up to relu4_1")
    parser.add_argument("--published", type=Path, required=True, help="folder of the published networks, for 5SE")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--paintings", type=Path, action="append", required=True)
    parser.add_argument("--held-out", type=Path, action="append", default=[])
    parser.add_argument("--short-side", type=int, default=320, help="pixels of the pictures' shorter side")
    parser.add_argument("--stride", type=int, default=1, help="take every n-th picture, for a trial")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/training/ultrast/encoder.pt"))
    parser.add_argument("--output", type=Path, default=Path("data/training/ultrast/encoder.safetensors"))
    arguments = parser.parse_args()
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(arguments)


if __name__ == "__main__":
    main()
