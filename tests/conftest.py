"""One bot a module, with toy modes that paint at once or as slowly as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from PIL import Image

from ml_models import registry
from processing.shared.store import SharedStore
from sandbox.server import Sandbox
from tests import toy_algorithm
from tests.bots import ADMIN_ID, bot_in
from tests.chat import Behave, Stage, has_button
from tests.postgres import Server, server, store_url
from tests.toy_algorithm import TOYS, Behaviour


@pytest.fixture(autouse=True)
def plain_tracebacks() -> None:
    """structlog's own default draws every local of a traceback, which holds the event loop up for seconds."""
    if not structlog.is_configured():
        renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(processors=[structlog.contextvars.merge_contextvars, renderer])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as started:
        yield started


@pytest.fixture(scope="session")
def postgres_name(postgres: Server) -> str:
    """The name of a database with all tables, which the tests have one after another."""
    name = postgres.new_database()

    async def make() -> None:
        store = SharedStore(store_url(postgres.url(name)))
        await store.open()
        await store.close()

    asyncio.run(make())
    return name


@pytest.fixture
def postgres_url(postgres: Server, postgres_name: str) -> str:
    """The address of a database with nothing in it."""
    postgres.empty(postgres_name)
    return postgres.url(postgres_name)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.chelsea())


@pytest.fixture(scope="module")
def style() -> Image.Image:
    return Image.open(Path(__file__).parents[1] / "docs" / "pictures" / "style-orchard.jpg")


@pytest.fixture(scope="module")
def behave(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behave]:
    file = tmp_path_factory.mktemp("toy") / "behaviour"

    def set_behaviour(behaviour: Behaviour, quick: Behaviour = Behaviour.PAINT) -> None:
        file.write_text(behaviour.name)
        file.with_name(file.name + toy_algorithm.QUICK_SUFFIX).write_text(quick.name)

    set_behaviour(Behaviour.PAINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(toy_algorithm.BEHAVIOUR_FILE, str(file))
        for toy in TOYS:
            patch.setitem(registry.ALGORITHMS, toy.key, toy)
        yield set_behaviour


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_stage(behave: Behave, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Sandbox() as sandbox:
        sandbox.user(ADMIN_ID, first_name="Admin")
        await sandbox.user(ADMIN_ID).send_text("/start")
        data_dir: Path = tmp_path_factory.mktemp("data")
        limits = {
            "queue_limit": 4,
            "user_queue_limit": 2,
            "job_timeout_s": 20,
            "max_image_megapixels": 20,
            "metrics_port": 0,
        }
        async with bot_in(sandbox, data_dir, admin_id=ADMIN_ID, **limits) as service:
            await sandbox.user(ADMIN_ID).wait_for(has_button("menu:help"))
            yield Stage(sandbox, service, behave)


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    shared_stage.behave(Behaviour.PAINT)
    return shared_stage
