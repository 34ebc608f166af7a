"""The command line: the bot on Telegram or in the sandbox, pictures without a chat, weights."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NoReturn

import typer

from config import TELEGRAM_DOWNLOAD_LIMIT_MB, Settings, SettingsError, load_settings
from ml_models.contract import (
    DEFAULT_SIZE_PX,
    DEVICES,
    MAX_SIZE_PX,
    MAX_STROKE_SCALE,
    MIN_SIZE_PX,
    MIN_STROKE_SCALE,
    STROKE_SCALES,
)
from ml_models.errors import StyleTransferError
from ml_models.registry import ALGORITHMS, DEFAULT_ALGORITHM
from processing.store import StoreError
from reporting.logs import set_up_logging

BAD_INPUT = 2
INTERRUPTED = 130
SANDBOX_PORT = 8090
SIZES = f"{MIN_SIZE_PX} to {MAX_SIZE_PX}" + "".join(
    f" ({algorithm.key}: {algorithm.max_size_px})"
    for algorithm in ALGORITHMS.values()
    if algorithm.max_size_px > MAX_SIZE_PX
)
STROKES = f"{', '.join(STROKE_SCALES)}, or a number from {MIN_STROKE_SCALE:g} to {MAX_STROKE_SCALE:g}"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.callback(invoke_without_command=True)
def run(context: typer.Context) -> None:
    """Without a command: the bot on Telegram where BOT_TOKEN is set, the sandbox otherwise."""
    if context.invoked_subcommand is None:
        if _settings().bot_token:
            serve()
        else:
            typer.echo("BOT_TOKEN is not set, so this is the sandbox: a chat on this computer only.")
            sandbox()


@app.command()
def serve() -> None:
    """Run the bot: by webhook where WEBHOOK_URL is set, by long polling otherwise."""
    from service import serve as serve_bot

    settings = _settings()
    if not settings.bot_token:
        _fail("BOT_TOKEN is not set: give the text that BotFather sent, in the environment or in .env")
    _run_until_stopped(lambda stop: serve_bot(settings, stop))


@app.command()
def worker() -> None:
    """Paint for bots on other machines: as many workers as it takes, each with the bot's DATABASE_URL and BOT_TOKEN."""
    from service import work

    settings = _settings()
    if not settings.bot_token:
        _fail("BOT_TOKEN is not set: give that of the bot whose jobs are to be painted")
    if not settings.is_shared:
        _fail("DATABASE_URL is not set to postgresql://...: a worker needs the database of the bot")
    if not settings.pool_size:
        _fail("POOL_SIZE='0' is not allowed: give a worker 1 to 64")
    _run_until_stopped(lambda stop: work(settings, stop))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="of the chat page; 0: any free one")] = SANDBOX_PORT,
    browser: Annotated[bool, typer.Option(help="open the page")] = True,
) -> None:
    """Run the bot in a chat on this computer, without Telegram and without a token."""
    settings = _settings()
    _run_until_stopped(lambda stop: run_sandbox(settings, port, stop, open_browser=browser))


@app.command()
def stylize(
    content: Annotated[Path, typer.Argument(help="the photo to paint")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the painting: .png or .jpg")],
    styles: Annotated[
        list[Path] | None, typer.Argument(help="the pictures whose style it takes, none for some algorithms")
    ] = None,
    algorithm: Annotated[str, typer.Option(help=", ".join(ALGORITHMS))] = DEFAULT_ALGORITHM,
    size: Annotated[int, typer.Option(help=f"longer side of the painting in pixels, {SIZES}")] = DEFAULT_SIZE_PX,
    strength: Annotated[float, typer.Option(help="of the style, 0 (the photo) to 100")] = 100,
    stroke: Annotated[str, typer.Option(help=f"{STROKES}: 2 gives strokes twice as large")] = "normal",
    keep_colours: Annotated[bool, typer.Option("--keep-colours", help="paint in the colours of the photo")] = False,
    style_weights: Annotated[
        str | None, typer.Option(help="shares of the styles in their order, above 0, such as 70/30; equal if not given")
    ] = None,
    seed: Annotated[int, typer.Option(help="0 or more; same seed, same picture")] = 0,
    encoder: Annotated[
        str | None,
        typer.Option(help="vgg19, slim, ...: a network that the algorithm knows; its best one if not given"),
    ] = None,
    device: Annotated[str | None, typer.Option(help=f"{', '.join(DEVICES)}; DEVICE if not given")] = None,
    initial: Annotated[Path | None, typer.Option(help="a picture of the photo's shape to start from")] = None,
) -> None:
    """Paint one picture without a chat. Ctrl+C keeps the picture as it is by then, a second one drops it."""
    from ml_models.stylize import Options, stylize_files

    try:
        settings = load_settings()
        result = stylize_files(
            content,
            styles or [],
            output,
            algorithm_key=algorithm,
            options=Options(
                size_px=size,
                strength=strength,
                stroke=stroke,
                keep_colours=keep_colours,
                style_weights=style_weights,
                seed=seed,
                encoder=encoder,
                device=device or settings.device,
                initial=initial,
                max_megapixels=settings.max_image_megapixels,
            ),
        )
    except (StyleTransferError, SettingsError, OSError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo("stopped; nothing is written", err=True)
        raise typer.Exit(INTERRUPTED) from None
    about = f"{result.width_px}x{result.height_px} px, {result.seconds:.1f} s, encoder {result.encoder}"
    typer.echo(f"{output}: {about}{', stopped early' if result.stopped else ''}")


@app.command()
def weights(
    name: Annotated[str, typer.Argument(help="vgg19, adain, ultrast or cyclegan")],
    source: Annotated[
        list[str] | None, typer.Option("--from", help="a file, a folder or an address, given twice for adain")
    ] = None,
) -> None:
    """Install weights that others published: VGG19's first eleven layers, 2.2 MB of the 548 MB that torchvision offers;
    the encoder and decoder of pytorch-AdaIN; the 16x networks of Collaborative Distillation; a generator of CycleGAN.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from ml_models.install import install

    try:
        with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), transient=True) as progress:
            task = progress.add_task(name)
            path = install(
                name, source or [], lambda done, total: progress.update(task, completed=done, total=total or None)
            )
    except StyleTransferError as error:
        _fail(str(error))
    typer.echo(f"{name} is installed: {path}")


def _answer_quickly() -> None:
    """Settings of the interpreter that a process needs whose event loop must not be held up."""
    # The loop shares the interpreter with the database's threads: 5 ms a turn would be most of an answer's time.
    sys.setswitchinterval(0.001)
    # What was loaded by now stays: the collector need not walk through it again and again.
    gc.collect()
    gc.freeze()


async def run_sandbox(settings: Settings, port: int, stop: asyncio.Event, *, open_browser: bool) -> None:
    """Run the sandbox and the bot together, the bot reached through its webhook, until stop is set."""
    from sandbox.server import Sandbox
    from service import running

    host = "127.0.0.1"
    server = Sandbox()
    try:
        await server.start(host, port)
    except OSError as error:
        _fail(f"the sandbox cannot listen on port {port} ({error.strerror}): give another with --port")
    try:
        with TemporaryDirectory(prefix="sandbox-") as folder:
            bot_port = free_port(host)
            bot_settings = replace(
                settings,
                bot_token=server.token,
                telegram_api_url=server.url,
                webhook_url=f"http://{host}:{bot_port}{settings.webhook_path}",
                host=host,
                port=bot_port,
                download_limit_mb=TELEGRAM_DOWNLOAD_LIMIT_MB,
                database_url=None,
                pool_size=max(1, settings.pool_size),
                # Its chats end with it, so nothing else of it is kept.
                data_dir=Path(folder),
                admin_id=None,
            )
            async with running(bot_settings):
                typer.echo(f"\n  The chat page: {server.url}\n  Ctrl+C stops it.\n")
                if open_browser:
                    await asyncio.to_thread(webbrowser.open, server.url)
                await stop.wait()
    finally:
        await server.stop()


def free_port(host: str) -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _settings() -> Settings:
    try:
        settings = load_settings()
    except SettingsError as error:
        _fail(str(error))
    set_up_logging(settings.log_level, settings.log_format)
    return settings


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(BAD_INPUT)


def _run_until_stopped(start: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run until SIGINT or SIGTERM; a second one ends the process at once."""

    _answer_quickly()

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ask_to_stop(number: signal.Signals) -> None:
            loop.remove_signal_handler(number)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask_to_stop, number)
        await start(stop)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (SettingsError, StoreError) as error:
        _fail(str(error))


if __name__ == "__main__":
    app()
