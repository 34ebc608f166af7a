"""The command line: exit codes, one-line errors, and pictures without a chat."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

ROOT = Path(__file__).parents[1]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    clean = {name: value for name, value in os.environ.items() if name not in ("BOT_TOKEN", "PORT")}
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


def test_weights_from_a_file_that_is_not_vgg19_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(io.BytesIO(b"nothing").getvalue())
    done = run("weights", "vgg19", "--from", str(file))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    other = run("weights", "resnet")
    assert (other.returncode, other.stderr.strip()) == (2, "weights 'resnet' are not known: give vgg19")
