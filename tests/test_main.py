"""The command line: exit codes, one-line errors, and pictures without a chat."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from ml_models.contract import STROKE_SCALES, Style, StyleTransferRequest
from ml_models.stylize import Options, request_of, stroke_scale
from tests.toy_algorithm import BEHAVIOUR_FILE, Behaviour

ROOT = Path(__file__).parents[1]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = ("BOT_TOKEN", "PORT", "DATABASE_URL", "POOL_SIZE")
    clean = {name: value for name, value in os.environ.items() if name not in settings}
    return subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    content, style = tmp_path / "content.png", tmp_path / "style.jpg"
    Image.fromarray(data.chelsea()).save(content)
    Image.fromarray(data.coffee()).save(style)
    return str(content), str(style)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_stylize_paints_a_file_in_the_photos_proportions(
    pictures: tuple[str, str], tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"out.{suffix}"
    done = run("stylize", *pictures, "-o", str(output), "--size", "64", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert "64x43 px" in done.stdout
    with Image.open(output) as painting:
        assert painting.size == (64, 43)


def test_the_bot_and_the_command_line_start_without_torch() -> None:
    code = "import sys, main, service, bot_init, ml_models.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", "63"], "size_px=63 is not allowed: give 64 to 2048"),
        (["--size", "2049"], "size_px=2049 is not allowed: give 64 to 2048"),
        (["--algorithm", "pix2pix"], "unknown algorithm 'pix2pix'; known: nst_gatys"),
        (["--strength", "101"], "strength=101 is not allowed: give 0 to 100"),
        (["--strength", "nan"], "strength=nan is not allowed: give 0 to 100"),
        (["--stroke", "broad"], "stroke='broad' is not allowed: give fine, normal, bold, or a number from 0.25 to 4"),
        (["--stroke", "4.1"], "stroke='4.1' is not allowed: give fine, normal, bold, or a number from 0.25 to 4"),
        (["--style-weights", "70/30"], "2 shares for 1 style: give one for each"),
        (["--style-weights", "0"], "'0' is no share: give numbers above 0"),
        (["--seed", "-1"], "seed=-1 is not allowed: give 0 to"),
        (["--device", "tpu"], "device='tpu' is not allowed: give one of auto, cpu, cuda, mps"),
        (["--encoder", "resnet"], "encoder='resnet' is not known: give one of vgg19, slim"),
        (["--initial", "no-such-draft.png"], "no-such-draft.png"),
        (["-o", "painting.gif"], "end it in .png or .jpg"),
        (["-o", "no/such/folder/painting.png"], "does not exist"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(
    pictures: tuple[str, str], tmp_path: Path, options: list[str], sentence: str
) -> None:
    output = [] if "-o" in options else ["-o", str(tmp_path / "out.png")]
    done = run("stylize", *pictures, *output, *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_or_unreadable_picture_is_one_line_and_exit_code_2(pictures: tuple[str, str], tmp_path: Path) -> None:
    output = str(tmp_path / "out.png")
    missing = run("stylize", pictures[0], str(tmp_path / "none.jpg"), "-o", output)
    assert (missing.returncode, len(missing.stderr.strip().splitlines())) == (2, 1)
    assert "none.jpg" in missing.stderr
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"%PDF-1.4")
    unreadable = run("stylize", str(bad), pictures[1], "-o", output)
    assert (unreadable.returncode, len(unreadable.stderr.strip().splitlines())) == (2, 1)
    assert not Path(output).exists()


def test_serve_needs_a_token_and_right_settings() -> None:
    without = run("serve", BOT_TOKEN="")
    assert without.returncode == 2
    assert "BOT_TOKEN is not set" in without.stderr
    wrong = run("serve", BOT_TOKEN="12345:" + "A" * 35, PORT="http")
    assert wrong.returncode == 2
    assert "PORT='http' is not allowed: give a whole number from 0 to 65535" in wrong.stderr
    secret = run("serve", BOT_TOKEN="not-a-token")
    assert secret.returncode == 2
    assert "BOT_TOKEN is not a bot token" in secret.stderr
    assert "not-a-token" not in secret.stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="the device may be there")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"BOT_TOKEN": ""}, "BOT_TOKEN is not set"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set to postgresql://"),
        ({"DATABASE_URL": "sqlite:///bot.sqlite3"}, "DATABASE_URL is not set to postgresql://"),
        ({"POOL_SIZE": "0"}, "POOL_SIZE='0' is not allowed"),
    ],
)
def test_a_worker_needs_the_bots_token_and_database_and_a_slot(settings: dict[str, str], sentence: str) -> None:
    given = {"BOT_TOKEN": "12345:" + "A" * 35, "DATABASE_URL": "postgresql://bot@127.0.0.1:9/bot"}
    done = run("worker", **given | settings)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_serve_needs_the_device_that_it_is_told_to_use() -> None:
    done = run("serve", BOT_TOKEN="12345:" + "A" * 35, DEVICE="mps")
    assert done.returncode == 2
    assert done.stderr.startswith("DEVICE='mps' cannot be used")
    assert "give auto or cpu" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_weights_from_a_file_that_is_not_vgg19_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(io.BytesIO(b"nothing").getvalue())
    done = run("weights", "vgg19", "--from", str(file))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    other = run("weights", "resnet")
    known = "weights 'resnet' are not known: give vgg19, adain, ultrast, cyclegan"
    assert (other.returncode, other.stderr.strip()) == (2, known)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["adain", "--from", "{file}"], "sources=1 is not allowed for adain: give --from the encoder's file --from"),
        (["adain", "--from", "{file}", "--from", "{file}"], "weights.pth"),
        (["ultrast"], "sources=0 is not allowed for ultrast: give --from the folder of 1SE to 5SE"),
        (["ultrast", "--from", "{file}.none"], "weights.pth.none is not there: give --from the folder"),
        (["cyclegan", "--from", "{file}"], "weights.pth is no file of weights"),
    ],
)
def test_weights_of_others_that_are_not_what_they_should_be_are_one_line(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"nothing")
    done = run("weights", *(argument.format(file=file) for argument in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# --- the options of stylize


def test_every_option_is_a_field_of_the_request(pictures: tuple[str, str], tmp_path: Path) -> None:
    content, style = map(Path, pictures)
    draft = tmp_path / "draft.png"
    draft.write_bytes(b"draft")
    options = Options(
        size_px=768, strength=60, stroke="bold", keep_colours=True, style_weights="70/30", seed=5,
        encoder="slim", device="cpu", initial=draft, max_megapixels=7,
    )  # fmt: skip
    styles = (Style(style.read_bytes(), 70.0), Style(content.read_bytes(), 30.0))
    assert request_of(content, [style, content], options) == StyleTransferRequest(
        content=content.read_bytes(), styles=styles, size_px=768, strength=0.6, stroke_scale=2.0, keep_colours=True,
        seed=5, encoder="slim", initial=b"draft", device="cpu", max_megapixels=7,
    )  # fmt: skip
    usual = StyleTransferRequest(content.read_bytes(), (Style(style.read_bytes()),))
    assert request_of(content, [style], Options()) == usual


def test_strokes_have_names_and_numbers() -> None:
    assert {name: stroke_scale(name.upper()) for name in STROKE_SCALES} == STROKE_SCALES
    assert (stroke_scale("0.25"), stroke_scale("4")) == (0.25, 4.0)


def test_the_help_gives_every_range() -> None:
    text = re.sub(r"[\s│]+", " ", run("stylize", "--help", COLUMNS="200").stdout)
    for words in (
        "64 to 2048",
        "0 (the photo) to 100",
        "fine, normal, bold",
        "from 0.25 to 4",
        "70/30",
        "auto, cpu, cuda",
    ):
        assert words in text


# --- Ctrl+C

PAINTS = """
import sys
from dataclasses import replace
from ml_models.registry import ALGORITHMS
from tests import toy_algorithm

def paint(request, on_progress, should_stop):
    def show(progress):
        on_progress(progress)
        print("heard", flush=True)
    print("begins", flush=True)
    return toy_algorithm.run_style_transfer(request, show, should_stop)

if __name__ == "__main__":
    ALGORITHMS["toy"] = replace(toy_algorithm.TOY, path="__main__:paint")
    from main import app
    app(["stylize", *sys.argv[1:], "--algorithm", "toy", "--size", "64"])
"""


@contextmanager
def painting(pictures: tuple[str, str], tmp_path: Path, behaviour: Behaviour) -> Iterator[subprocess.Popen[str]]:
    file = tmp_path / "behaviour"
    file.write_text(behaviour.name)
    process = subprocess.Popen(
        [sys.executable, "-c", PAINTS, *pictures, "-o", str(tmp_path / "out.png")],
        cwd=ROOT, env=os.environ | {BEHAVIOUR_FILE: str(file)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupted_at(process: subprocess.Popen[str], *words: str) -> tuple[int, str, str]:
    """Press Ctrl+C whenever the next of the words has come; return exit code, output and errors."""
    assert process.stdout
    for word in words:
        while (line := process.stdout.readline()) != f"{word}\n":
            assert line
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_ctrl_c_keeps_the_picture_so_far(pictures: tuple[str, str], tmp_path: Path) -> None:
    with painting(pictures, tmp_path, Behaviour.GROW) as process:
        code, out, err = interrupted_at(process, "heard")
    assert (code, err) == (0, "")
    assert out.rstrip().endswith("encoder toy, stopped early")
    with Image.open(tmp_path / "out.png") as kept:
        assert kept.size == (64, 43)


def test_a_second_ctrl_c_ends_it_and_writes_nothing(pictures: tuple[str, str], tmp_path: Path) -> None:
    with painting(pictures, tmp_path, Behaviour.DEAF) as process:
        code, _, err = interrupted_at(process, "heard", "heard")
    assert (code, err.strip()) == (130, "stopped; nothing is written")
    assert not (tmp_path / "out.png").exists()


def test_ctrl_c_before_there_is_a_picture_ends_it(pictures: tuple[str, str], tmp_path: Path) -> None:
    with painting(pictures, tmp_path, Behaviour.HANG) as process:
        code, _, err = interrupted_at(process, "begins")
    assert (code, err.strip()) == (130, "stopped; nothing is written")
    assert not (tmp_path / "out.png").exists()
