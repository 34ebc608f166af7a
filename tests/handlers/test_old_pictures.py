"""A painting whose pictures were deleted: every button under it still answers, in words or with a new painting."""

from __future__ import annotations

import pytest

from processing.folders import JobFolders
from processing.job import Status
from processing.retention import Retention
from tests.chat import Stage, after, buttons, is_result, order, says
from tests.handlers.test_dialogue import job_id_of
from tests.processing.conftest import in_state

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_file_is_said_to_be_gone_and_the_other_buttons_work(stage: Stage) -> None:
    user = await stage.person()
    await order(user)
    result = await user.wait_for(is_result)
    folders = JobFolders(stage.service.settings.data_dir)
    # Not before it was told: what is just being sent is left alone.
    await in_state(stage.service.store, job_id_of(result), Status.DELIVERED)
    assert job_id_of(result) in (await folders.kept())
    await Retention(stage.service.store, folders, hours=0).sweep()
    assert job_id_of(result) not in (await folders.kept())
    answer = await user.wait_for_answer(await user.press(result, "📄 As a file"))
    assert "no longer kept here: I delete pictures 24 h after" in answer["text"]
    assert answer["show_alert"]
    for button in (data for data in buttons(result) if "job:file" not in data):
        await user.wait_for_answer(await user.press(result, button))
    await user.wait_for(after(result, says("I kept the photo")))
    await user.wait_for(after(result, says("Options")))
    again = await user.wait_for(after(result, is_result))
    await user.press(again, "📄 As a file")
    await user.wait_for(lambda message: message["from_bot"] and "document" in message)
