"""A real Chromium for tests, or a failure that says how to get one."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Without a sandbox of its own, which root may not have, and without asking anything of the network.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None and os.environ.get("SKIP_BROWSER") == "1":
        pytest.skip("SKIP_BROWSER=1 and there is no Chromium")
    if path is None:
        pytest.fail(
            "There is no Chromium for the tests of the chat page: run `sh scripts/ensure_chromium.sh` or "
            "`apt-get install chromium`, or set SKIP_BROWSER=1 to go without these tests."
        )
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*OPTIONS])
        yield browser
        await browser.close()
