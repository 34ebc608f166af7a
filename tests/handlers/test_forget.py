"""/forget: nothing of the user is left, in no table and no file, and nobody else loses anything."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from processing.folders import JobFolders
from processing.job import Status
from processing.store import Store
from processing.tables import metadata
from sandbox.server import Sandbox, SandboxUser
from tests.bots import bot_in, contents
from tests.chat import (
    Behave,
    Message,
    Stage,
    after,
    buttons,
    choose,
    has_button,
    is_result,
    order,
    picture,
    says,
    words,
)
from tests.processing.conftest import in_state
from tests.toy_algorithm import Behaviour
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELETE = "forget:delete"


async def rows_that_name(store: Store, user: SandboxUser) -> dict[str, int]:
    """Return how many rows of each table name the user or a picture of the user's."""
    names = [rf"\b{user.id}\b", *(re.escape(file_id) for message in user.messages for file_id in file_ids(message))]
    named = re.compile("|".join(names))

    def read(connection: Connection) -> dict[str, int]:
        rows = {table.name: connection.execute(select(table)).mappings().all() for table in metadata.sorted_tables}
        texts = {name: [json.dumps(dict(row), default=str) for row in found] for name, found in rows.items()}
        return {name: sum(bool(named.search(text)) for text in found) for name, found in texts.items()}

    return {name: count for name, count in (await store._database.read(read)).items() if count}


def file_ids(message: Message) -> list[str]:
    files = [*message.get("photo", []), *([message["document"]] if "document" in message else [])]
    return [file["file_id"] for file in files] if not message["from_bot"] else []


async def forget(user: SandboxUser) -> None:
    sent = await user.send_text("/forget")
    question = await user.wait_for(after(sent, has_button(DELETE)))
    assert "cannot be brought back" in words(question)
    await user.press(question, DELETE)
    await user.wait_for(after(sent, says("Done: I keep nothing of you any more")))


async def jobs_of(store: Store, user: SandboxUser) -> list[int]:
    return await store.job_ids(user.id)


async def test_nothing_of_the_user_is_left_and_everything_of_the_others(stage: Stage) -> None:
    store, folders = stage.service.store, JobFolders(stage.service.settings.data_dir)
    leaving, staying = await stage.person(), await stage.person("ru")
    for user in (leaving, staying):
        sent = await user.send_album([picture(), picture()])
        await user.wait_for(after(sent[0], is_result))
        [job_id] = await jobs_of(store, user)
        await in_state(store, job_id, Status.DELIVERED)
    # One job runs, one waits, and another is in the making.
    stage.behave(Behaviour.GROW)
    sent = await leaving.send_album([picture(), picture()])
    growing = await leaving.wait_for(after(sent[0], has_button("job:keep")))
    sent = await leaving.send_album([picture(), picture()])
    await leaving.wait_for(after(sent[0], says("Accepted")))
    for user in (leaving, staying):
        sent = [await user.send_photo(picture())]
        await user.wait_for(lambda message, first=sent[0]: message["message_id"] > first["message_id"])
        await user.send_text("/options")
        await user.wait_for(after(sent[0], has_button("option:")))
    kept = await rows_that_name(store, staying)
    assert kept == {"dialogues": 1, "jobs": 1}
    assert await rows_that_name(store, leaving) == {"dialogues": 1, "jobs": 3}
    jobs = await jobs_of(store, leaving)
    [job_of_other] = await jobs_of(store, staying)
    assert folders.picture(job_of_other).is_file()
    await forget(leaving)
    assert await rows_that_name(store, leaving) == {}
    assert await rows_that_name(store, staying) == kept
    assert set(await folders.kept()).isdisjoint(jobs)
    assert folders.picture(job_of_other).is_file()
    # The running one was stopped, and its message says so.
    stopped = [message for message in leaving.messages if message["message_id"] == growing["message_id"]]
    assert [words(message) for message in stopped] == ["The painting is stopped."]
    await until(lambda: stage.service.pool.free == stage.service.pool.slots)
    assert set(await folders.kept()).isdisjoint(jobs)
    assert await rows_that_name(store, leaving) == {}


async def test_afterwards_old_buttons_say_so_and_everything_begins_anew(stage: Stage) -> None:
    user = await stage.person()
    await order(user)
    result = await user.wait_for(is_result)
    await forget(user)
    for button in buttons(result):
        answer = await user.wait_for_answer(await user.press(result, button))
        assert answer["text"].startswith("This picture is not known to me any more.")
    assert await rows_that_name(stage.service.store, user) == {}
    menu = next(message for message in user.messages if has_button("mode:toy")(message))
    await user.press(menu, "mode:toy")
    sent = await user.send_album([picture(), picture()])
    await user.wait_for(after(sent[0], is_result))


async def test_without_a_yes_nothing_is_deleted_and_a_second_yes_changes_nothing(stage: Stage) -> None:
    user = await stage.person("ru")
    sent = await user.send_photo(picture())
    await user.wait_for(after(sent, says("стил")))
    before = await rows_that_name(stage.service.store, user)
    question = await user.send_text("/forget")
    asked = await user.wait_for(after(question, says("Удалить всё")))
    await user.press(asked, "Оставить")
    await user.wait_for(says("Ничего не удалено."))
    assert await rows_that_name(stage.service.store, user) == before
    for _ in range(2):
        await user.wait_for_answer(await user.press_raw(asked["message_id"], DELETE))
    await user.wait_for(says("Готово"))
    assert await rows_that_name(stage.service.store, user) == {}


async def test_a_picture_that_is_being_read_does_not_bring_the_user_back(stage: Stage) -> None:
    user = await stage.person()
    stage.sandbox.faults.delay("getFile", 1, seconds=1)
    await user.send_document(picture(form="PNG"), "a.png", "image/png")
    await forget(user)
    await asyncio.sleep(1.5)
    assert await rows_that_name(stage.service.store, user) == {}
    assert not any(map(says("Now send"), user.messages))


async def test_a_result_that_cannot_be_sent_yet_is_given_up(stage: Stage) -> None:
    user = await stage.person()
    stage.sandbox.faults.bad_gateway("sendPhoto", 5)
    await order(user)
    [job_id] = await jobs_of(stage.service.store, user)
    await in_state(stage.service.store, job_id, Status.PAINTED)
    await forget(user)
    stage.sandbox.faults.clear()
    tasks = f"finish job {job_id}"
    await until(lambda: all(task.get_name() != tasks for task in asyncio.all_tasks()))
    assert not any(map(is_result, user.messages))


@pytest.mark.asyncio(loop_scope="function")
async def test_what_is_left_by_a_crash_goes_with_the_next_wish(behave: Behave, tmp_path: Path) -> None:
    behave(Behaviour.PAINT)
    async with Sandbox() as sandbox:
        async with bot_in(sandbox, tmp_path) as service:
            user = sandbox.user(777_001)
            await choose(user)
            await user.send_album([picture(), picture()])
            await user.wait_for(is_result)
            question = await user.send_text("/forget")
            asked = await user.wait_for(after(question, has_button(DELETE)))
            [job_id] = await jobs_of(service.store, user)
            await in_state(service.store, job_id, Status.DELIVERED)
        # The bot died between the files and the rows.
        JobFolders(tmp_path).remove(job_id)
        async with bot_in(sandbox, tmp_path) as service:
            await user.press(asked, DELETE)
            await user.wait_for(says("Done"))
            assert await rows_that_name(service.store, user) == {}
    # Nor is it left in what the database has freed.
    raw = await asyncio.to_thread(contents, tmp_path)
    sent = [file_id for message in user.messages for file_id in file_ids(message)]
    assert sent
    assert not [file_id for file_id in sent if file_id.encode() in raw]
