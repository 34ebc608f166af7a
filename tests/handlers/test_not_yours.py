"""Every button there is, pressed by somebody whose it is not: the keyboards themselves say which buttons there are."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from aiogram.filters.callback_data import CallbackData

import keyboards
from handlers.storage import dialogue_key
from ml_models.registry import ALGORITHMS
from processing.job import Job, Status
from sandbox.server import SandboxUser
from tests.chat import Stage, after, has_button, is_result, order, picture, says
from tests.handlers.test_dialogue import job_id_of
from tests.processing.conftest import in_state
from tests.toy_algorithm import Behaviour
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

for module in pkgutil.iter_modules(keyboards.__path__):
    importlib.import_module(f"keyboards.{module.name}")
KINDS = [kind for kind in CallbackData.__subclasses__() if kind.__module__.startswith("keyboards.")]
OF_JOBS = [kind for kind in KINDS if "job_id" in kind.model_fields]
OF_DIALOGUES = [kind for kind in KINDS if kind not in OF_JOBS]
#: What the numbers in buttons stand for, beside those of jobs and messages.
NUMBERS = {"value": (0, 1, 50, 100, 512), "percent": (25, 50, 75, 100), "style": (0, 1)}


def buttons_of(kind: type[CallbackData], **ids: int) -> Iterator[str]:
    """Return what buttons of that kind can carry; a field that this test does not know fails it."""
    values: dict[str, list[Any]] = {}
    for name, field in kind.model_fields.items():
        if name in ids:
            values[name] = [ids[name]]
        elif isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
            values[name] = list(field.annotation)
        elif name == "algorithm":
            values[name] = list(ALGORITHMS)
        else:
            values[name] = list(NUMBERS[name])
    for chosen in itertools.product(*values.values()):
        yield kind(**dict(zip(values, chosen, strict=True))).pack()


def chat(user: SandboxUser) -> list[Any]:
    return [(message["message_id"], message["edits"], message.get("text")) for message in user.messages]


async def jobs_of(stage: Stage, user: SandboxUser) -> list[Job]:
    return [await stage.service.store.get(job_id) for job_id in await stage.service.store.job_ids(user.id)]


async def dialogue_of(stage: Stage, user: SandboxUser) -> tuple[str | None, dict[str, Any]]:
    context = stage.service.dispatcher.fsm.get_context(stage.service.bot, user.id, user.id)
    return await stage.service.store.get_dialogue(dialogue_key(context.key))


async def test_the_buttons_are_found() -> None:
    assert {kind.__name__ for kind in OF_JOBS} >= {"JobButton", "StrengthButton"}
    assert {kind.__name__ for kind in OF_DIALOGUES} >= {"DraftButton", "PanelButton", "ForgetButton"}


async def test_nobody_sees_stops_or_repeats_what_is_anothers(stage: Stage) -> None:
    owner = await stage.person()
    await order(owner)
    delivered = job_id_of(await owner.wait_for(is_result))
    await in_state(stage.service.store, delivered, Status.DELIVERED)
    stage.behave(Behaviour.RAISE)
    sent = await owner.send_album([picture(), picture()])
    failed = job_id_of(await owner.wait_for(after(sent[0], has_button("job:again"))))
    stage.behave(Behaviour.HANG)
    running = job_id_of(await order(owner))
    await in_state(stage.service.store, running, Status.RUNNING)
    sent = await owner.send_album([picture(), picture()])
    waiting = job_id_of(await owner.wait_for(after(sent[0], has_button("job:cancel"))))
    before = await jobs_of(stage, owner)
    assert {job.id: job.status for job in before} == {
        delivered: Status.DELIVERED,
        failed: Status.FAILED,
        running: Status.RUNNING,
        waiting: Status.QUEUED,
    }
    seen = chat(owner)
    for job in before:
        intruder = await stage.person()
        known = chat(intruder)
        for kind in OF_JOBS:
            for data in buttons_of(kind, job_id=job.id):
                answer = await intruder.wait_for_answer(await intruder.press_raw(1, data))
                assert answer["text"].startswith("This picture is not known to me any more."), data
                assert answer["show_alert"], data
        assert chat(intruder) == known
        assert await jobs_of(stage, intruder) == []
    assert await jobs_of(stage, owner) == before
    assert chat(owner) == seen
    await owner.send_text("/cancel")


@pytest.mark.parametrize("job_id", ["9223372036854775808", "-1", "0x1", "1.5", "", "1:1"])
async def test_a_number_that_no_job_can_have_is_no_button(stage: Stage, job_id: str) -> None:
    user = await stage.person()
    for data in (f"job:cancel:{job_id}", f"strength:25:{job_id}"):
        answer = await user.wait_for_answer(await user.press_raw(1, data))
        assert answer["text"].startswith("This button is from an old message")


async def test_nobody_changes_what_another_has_begun(stage: Stage) -> None:
    owner = await stage.person()
    first = await owner.send_photo(picture())
    await owner.wait_for(after(first, says("Now send")))
    await owner.send_text("/options")
    await owner.wait_for(after(first, has_button("option:")))
    last = await owner.send_photo(picture())
    await owner.wait_for(after(last, has_button("panel:paint")))
    # The last update stores what it has shown.
    await until(lambda: stage.sandbox.pending_updates == 0)
    begun, seen = await dialogue_of(stage, owner), chat(owner)
    assert len(begun[1]["draft"]["styles"]) == 1
    for kind in OF_DIALOGUES:
        intruder = await stage.person()
        for data in buttons_of(kind, message_id=last["message_id"]):
            await intruder.wait_for_answer(await intruder.press_raw(last["message_id"], data))
            draft = (await dialogue_of(stage, intruder))[1].get("draft") or {}
            assert not draft.get("content"), data
            assert not draft.get("styles"), data
        assert await jobs_of(stage, intruder) == []
    assert await dialogue_of(stage, owner) == begun
    assert chat(owner) == seen
    assert await jobs_of(stage, owner) == []
