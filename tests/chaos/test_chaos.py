"""The fault suite in short: one fault of each group, the bot a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.engines import Sqlite
from tests.chaos.faults import kinds_on
from tests.chaos.rounds import Tally, play
from tests.chaos.scene import scene_on

SHORT = ("worker-exits-in-preview", "server-error", "three-times", "full-disk", "bot-killed")
SEED = 1


@pytest.mark.timeout(300)
async def test_faults_of_every_group_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    chosen = {kind.name: kind for kind in kinds_on(Sqlite.name) if kind.name in SHORT}
    assert {kind.group for kind in chosen.values()} == {kind.group for kind in kinds_on(Sqlite.name)}
    tally = Tally()
    async with scene_on(Sqlite.name, tmp_path) as scene:
        for number, name in enumerate(SHORT, 1):
            if name != "full-disk" or scene.disk is not None:
                await play(scene, chosen[name], number, SEED, tally, people=3)
        assert not tally.told_since()
    assert tally.outcomes.total() > len(SHORT)
