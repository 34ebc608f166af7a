"""Updates as Telegram sends them, and as nobody should: values of other kinds, missing, too long, too deep."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from random import Random
from typing import Any

from keyboards.callback_data import (
    DraftButton,
    DraftStep,
    ForgetButton,
    ForgetStep,
    JobButton,
    JobStep,
    Menu,
    MenuItem,
    ModeChosen,
    Option,
    OptionButton,
    PanelButton,
    PanelStep,
    ShareButton,
    StrengthButton,
)
from ml_models.registry import ALGORITHMS

Json = Any

USERS = range(1, 41)
TEXTS = ("/start", "/help", "/options", "/cancel", "/forget", "/status", "/unknown", "70/30", "hello", "", " ", "0/0")
STRANGE: tuple[Json, ...] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    -(2**70),
    1e308,
    math.nan,
    math.inf,
    "",
    "x" * 5000,
    "\ud800",
    "\x00",
    "</b><script>",
    "{name}",
    "%s%n",
    "\u202e\u0301" * 50,
    [],
    {},
    [[]],
    {"id": {}},
    ["x"] * 300,
)


def random_update(random: Random, update_id: int) -> bytes:
    """Return the body of a request to the webhook."""
    user_id = random.choice(USERS)
    update: Json = {"update_id": update_id, **_event(random, user_id)}
    for _ in range(random.choice((0, 0, 1, 1, 2, 5))):
        update = _changed(update, random)
    body = json.dumps(update).encode()
    if random.randrange(50) == 0:
        at = random.randrange(len(body))
        body = body[:at] + bytes([random.randrange(256)]) + body[at + random.randrange(9) :]
    return body


def _event(random: Random, user_id: int) -> dict[str, Json]:
    kind = random.randrange(10)
    if kind < 4:
        return {"callback_query": _press(random, user_id)}
    name = "message" if random.randrange(10) else random.choice(("edited_message", "channel_post", "my_chat_member"))
    return {name: _message(random, user_id)}


def _message(random: Random, user_id: int) -> dict[str, Json]:
    chat_type = "private" if random.randrange(8) else random.choice(("group", "supergroup", "channel", "moon"))
    message: dict[str, Json] = {
        "message_id": random.randrange(1, 10_000),
        "date": random.choice((0, 1_900_000_000)),
        "chat": {"id": user_id, "type": chat_type},
        "from": _user(random, user_id),
    }
    match random.randrange(6):
        case 0 | 1:
            message["text"] = random.choice(TEXTS)
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(message["text"])}]
        case 2 | 3:
            sizes = random.sample((1, 15, 90, 320, 1280, 100_000), random.randint(0, 4))
            message["photo"] = [
                {"file_id": f"p{size}", "file_unique_id": "u", "width": size, "height": size, "file_size": size * 99}
                for size in sizes
            ]
            message["caption"] = random.choice(TEXTS)
        case 4:
            message["document"] = {
                "file_id": f"d{random.randrange(9)}",
                "file_unique_id": "u",
                "file_name": random.choice(("a.png", "a", "../../etc/passwd", "a" * 300, "\x00.jpg")),
                "mime_type": random.choice(("image/png", "application/pdf", "")),
                "file_size": random.choice((10, 10**6, 10**12)),
            }
        case _:
            message["dice"] = {"emoji": "🎲", "value": 3}
    if random.randrange(4) == 0:
        message["media_group_id"] = str(random.randrange(3))
    return message


def _user(random: Random, user_id: int) -> dict[str, Json]:
    language = random.choice(("en", "ru", "pt-br", "", "xx"))
    return {"id": user_id, "is_bot": False, "first_name": "Ann", "language_code": language}


def _press(random: Random, user_id: int) -> dict[str, Json]:
    data = _button(random)
    if random.randrange(4) == 0:
        at = random.randrange(len(data))
        data = data[:at] + random.choice(":-9é\x00") * random.randint(1, 3) + data[at + random.randrange(4) :]
    query: dict[str, Json] = {
        "id": str(random.randrange(10**9)),
        "from": _user(random, user_id),
        "chat_instance": "1",
        "data": data,
    }
    if random.randrange(8):
        query["message"] = _message(random, user_id)
    return query


def _button(random: Random) -> str:
    number = random.choice((0, 1, 2, 50, 512, 10**18, -1))
    kinds = (
        lambda: Menu(item=random.choice(list(MenuItem))),
        lambda: ModeChosen(algorithm=random.choice(list(ALGORITHMS))),
        lambda: DraftButton(step=random.choice(list(DraftStep)), message_id=number),
        lambda: OptionButton(option=random.choice(list(Option)), value=number, message_id=random.randrange(3)),
        lambda: ShareButton(style=number, percent=random.choice((0, 30, 100)), message_id=random.randrange(3)),
        lambda: PanelButton(step=random.choice(list(PanelStep)), message_id=random.randrange(3)),
        lambda: ForgetButton(step=random.choice(list(ForgetStep))),
        lambda: JobButton(step=random.choice(list(JobStep)), job_id=abs(number)),
        lambda: StrengthButton(percent=random.choice((25, 50, 33)), job_id=abs(number)),
    )
    return random.choice(kinds)().pack()


def _changed(update: Json, random: Random) -> Json:
    """Return the update with one value somewhere in it lost, exchanged or buried deeper."""
    update = copy.deepcopy(update)
    # Rarely its number, without which it is no update at all.
    places = [(holder, key) for holder, key in _places(update) if key != "update_id" or random.randrange(20) == 0]
    if not places:
        return update
    holder, key = random.choice(places)
    match random.randrange(5):
        case 0:
            del holder[key]
        case 1:
            holder[key] = _other(random, _places(update), holder[key])
        case 2:
            for _ in range(random.choice((1, 3, 90))):
                holder[key] = {"reply_to_message": holder[key]} if random.randrange(2) else [holder[key]]
        case _:
            holder[key] = random.choice(STRANGE)
    return update


def _other(random: Random, places: Iterator[tuple[Json, Json]], value: Json) -> Json:
    values = [copy.deepcopy(holder[key]) for holder, key in places]
    return random.choice([value, *values])


def _places(value: Json) -> Iterator[tuple[Json, Json]]:
    keys: Iterator[Any] = iter(())
    if isinstance(value, dict):
        keys = iter(list(value))
    elif isinstance(value, list):
        keys = iter(range(len(value)))
    for key in keys:
        yield value, key
        yield from _places(value[key])
