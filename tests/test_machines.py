"""Two bots behind one address and two workers on a real PostgreSQL: whichever gets a press, whichever paints.

One after another on the same machines, but for the first test: the last ones take workers away.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from PIL import Image

from processing.job import Status
from processing.places import LOOK_EVERY_S
from processing.shared.store import SharedStore
from sandbox.server import Sandbox
from tests.chat import (
    Message,
    after,
    begun,
    buttons,
    choose,
    has_button,
    is_result,
    order,
    picture,
    results,
    says,
    words,
)
from tests.machines import Machine, Machines, machines
from tests.painting import paint_two_photos
from tests.postgres import Server, store_url
from tests.toy_algorithm import Behaviour
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

TABLES = ("procrastinate_jobs", "procrastinate_workers", "carried", "worker_slots")
#: STALLED_AFTER_S of the machines, a beat to find it, and much time for a slow one.
FOUND_WITHIN_S = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machines]:
    url = postgres.url(postgres.new_database())
    async with Sandbox() as sandbox, machines(sandbox, url, tmp_path_factory.mktemp("m"), bots=2, workers=2) as house:
        yield house


@pytest.fixture
def home(house: Machines) -> Machines:
    house.behave(Behaviour.PAINT)
    return house


def of(message: Message, *texts: str) -> Callable[[Message], bool]:
    """The same message, with these words by now."""
    return lambda other: other["message_id"] == message["message_id"] and says(*texts)(other)


async def counts(home: Machines, *statuses: Status) -> int:
    """Return how many jobs are in these states."""
    store = SharedStore(store_url(home.database_url))
    await store.open()
    try:
        found = await store.counts()
        return sum(found[status] for status in statuses)
    finally:
        await store.close()


async def painting(home: Machines) -> Machine:
    """Return the worker that paints the one job that is painted."""
    query = "SELECT worker_id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id IS NOT NULL"
    async with asyncio.timeout(FOUND_WITHIN_S):
        while True:
            with psycopg.connect(home.database_url) as connection:
                found = connection.execute(query).fetchall()
            for machine in home.started:
                if any(machine.is_worker(row[0]) for row in found):
                    return machine
            await asyncio.sleep(0.05)


async def test_places_in_line_are_kept_true_where_the_oldest_process_is_a_worker(
    postgres: Server, tmp_path: Path
) -> None:
    url = postgres.url(postgres.new_database())
    async with Sandbox() as sandbox, machines(sandbox, url, tmp_path, bots=0, workers=1) as home:
        await home.bot()
        home.behave(Behaviour.HANG)
        users = [sandbox.user() for _ in range(3)]
        for user in users:
            await choose(user)
        messages = [await order(user) for user in users]
        assert "Place in the queue: 2" in words(messages[2])
        await asyncio.sleep(LOOK_EVERY_S + 1)  # the first place that is seen counts as told
        await users[0].press(messages[0], buttons(messages[0])[0])
        await users[2].wait_for(of(messages[2], "Place in the queue: 1"), FOUND_WITHIN_S)


async def test_both_bots_serve_a_user_and_both_workers_paint(home: Machines) -> None:
    users = [home.sandbox.user() for _ in range(4)]
    home.behave(Behaviour.SLOW)
    for user in users:
        await choose(user)
    await asyncio.gather(*(order(user) for user in users))
    for user in users:
        await user.wait_for(is_result)
    assert [len(results(user)) for user in users] == [1, 1, 1, 1]
    assert not any("data-" in path.name and (path / "jobs").exists() for path in home.folder.iterdir())
    workers = [machine for machine in home.started if machine.url is None]
    assert all(b"a job begins" in machine.log for machine in workers)
    assert all(b'"update_id"' in machine.log for machine in home.started if machine.url)


async def test_a_result_is_there_as_a_file_from_whichever_bot(home: Machines) -> None:
    user = home.sandbox.user()
    await choose(user)
    await order(user)
    result = await user.wait_for(is_result)
    for count in (1, 2):
        await user.press(result, "📄 As a file")
        await user.wait_for(lambda _, count=count: sum("document" in message for message in user.messages) == count)


async def test_an_album_whose_pictures_reach_both_bots_is_one_order(home: Machines) -> None:
    user = home.sandbox.user()
    await choose(user)
    await user.send_album([picture(80, 40), picture()])
    assert "512×256" in words(await user.wait_for(is_result))
    await asyncio.sleep(1)
    assert len(results(user)) == 1


async def test_an_update_that_comes_to_both_bots_at_once_is_dealt_with_once(home: Machines) -> None:
    user = home.sandbox.user()
    await choose(user)
    home.sandbox.faults.duplicate(2, copies=3)
    await order(user)
    await user.wait_for(is_result)
    await asyncio.sleep(1)
    assert (len(results(user)), sum(map(says("Now send"), user.messages))) == (1, 1)


async def test_a_press_of_cancel_stops_the_work_wherever_it_is_done(home: Machines) -> None:
    home.behave(Behaviour.GROW)
    user = home.sandbox.user()
    await choose(user)
    both = [await order(user) for _ in range(2)]
    for accepted in both:
        await user.wait_for(of(accepted, "▱"))
    for accepted in both:  # the balancer gives the second press to the other bot
        await user.press(accepted, buttons(accepted)[0])
    for accepted in both:
        await user.wait_for(of(accepted, "stopped"), 5)
    await user.send_text("/help")
    await asyncio.sleep(3.5)  # when the workers would have shown more
    for accepted in both:
        assert not buttons(await user.wait_for(of(accepted, "stopped"), 1))
    assert not results(user)
    assert await counts(home, Status.RUNNING) == 0


async def test_a_press_of_keep_ends_the_work_wherever_it_is_done(home: Machines) -> None:
    home.behave(Behaviour.GROW)
    user = home.sandbox.user()
    await choose(user)
    accepted = await order(user)
    await user.press(await user.wait_for(has_button("job:keep")), "✔ Stop and keep this")
    assert "%" in words(await user.wait_for(is_result))
    await until(lambda: not any(map(of(accepted), user.messages)), 10)
    assert len(results(user)) == 1


async def test_limits_hold_whichever_bot_is_asked(home: Machines) -> None:
    home.behave(Behaviour.GROW)
    user = home.sandbox.user()
    await choose(user)
    messages = [await order(user) for _ in range(3)]
    first = await user.send_photo(picture())
    await user.wait_for(after(first, says("Now send")))
    await user.send_photo(picture())
    await user.wait_for(after(first, says("at most 3")))
    home.behave(Behaviour.PAINT)
    for message in reversed(messages):
        await user.press_raw(message["message_id"], buttons(message)[0])
    await user.wait_for(of(messages[0], "stopped"))


async def test_two_photos_become_a_painting_on_machines_that_share_nothing_but_the_database(
    home: Machines, photo: Image.Image, style: Image.Image
) -> None:
    await paint_two_photos(home.sandbox, photo, style)


async def test_a_database_that_goes_and_comes_back_loses_nothing(home: Machines, postgres: Server) -> None:
    home.behave(Behaviour.GROW)
    running, asking = home.sandbox.user(), home.sandbox.user()
    for user in (running, asking):
        await choose(user)
    await order(running)
    await begun(running)
    await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
    home.balancer.answers.clear()
    first = await asking.send_photo(picture())
    await asyncio.sleep(6)
    assert set(home.balancer.answers) == {500}
    await asyncio.to_thread(postgres.start)
    home.behave(Behaviour.PAINT)
    await asking.wait_for(after(first, says("Now send")), 30)
    await asking.send_photo(picture())
    for user in (running, asking):
        await user.wait_for(is_result, 30)
    await asyncio.sleep(1)
    assert [len(results(user)) for user in (running, asking)] == [1, 1]
    assert all(machine.process.returncode is None for machine in home.started)


async def test_a_worker_stopped_in_good_order_hands_its_job_to_the_other(home: Machines) -> None:
    home.behave(Behaviour.GROW)
    user = home.sandbox.user()
    await choose(user)
    await order(user)
    await begun(user)
    worker = await painting(home)
    home.behave(Behaviour.PAINT)
    assert await home.end(worker, signal.SIGTERM) == 0
    await user.wait_for(is_result)
    assert len(results(user)) == 1


async def test_a_worker_killed_in_mid_job_has_it_painted_once_by_another(home: Machines) -> None:
    await home.worker()
    home.behave(Behaviour.GROW)
    user = home.sandbox.user()
    await choose(user)
    await order(user)
    await begun(user)
    worker = await painting(home)
    home.behave(Behaviour.PAINT)
    await home.end(worker, signal.SIGKILL)
    await user.wait_for(is_result, FOUND_WITHIN_S)
    await asyncio.sleep(1)
    assert len(results(user)) == 1


async def test_the_second_worker_killed_under_a_job_fails_it_in_words_that_a_bot_says(home: Machines) -> None:
    await home.worker()
    home.behave(Behaviour.GROW)
    user = home.sandbox.user()
    await choose(user)
    await order(user)
    await begun(user)
    for _ in range(2):
        await home.end(await painting(home), signal.SIGKILL)
    await user.wait_for(says("interrupted on my side more than once"), FOUND_WITHIN_S)
    assert not results(user)


async def test_in_the_end_nothing_is_left_in_the_queue(home: Machines) -> None:
    assert await counts(home, Status.QUEUED, Status.RUNNING, Status.PAINTED) == 0
    await asyncio.sleep(1)  # what ended last is let go of
    with psycopg.connect(home.database_url) as connection:
        left = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES}  # noqa: S608
    assert left == dict.fromkeys(TABLES, (0,)) | {"procrastinate_workers": (2,), "worker_slots": (2,)}
