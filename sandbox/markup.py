"""Keyboards, checked as the real server checks them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sandbox.errors import bad_request
from sandbox.parameters import Parameter, boolean, check_fields, json_array, json_object, text

Markup = dict[str, Any]

MAX_CALLBACK_DATA_BYTES = 64
MAX_BUTTONS = 100
ACTIONS = {
    "url": text,
    "callback_data": text,
    "web_app": json_object,
    "login_url": json_object,
    "switch_inline_query": text,
    "switch_inline_query_current_chat": text,
    "switch_inline_query_chosen_chat": json_object,
    "copy_text": json_object,
    "callback_game": json_object,
    "pay": boolean,
}
STYLES = ("danger", "success", "primary")
_BUTTON = {"text": Parameter(text), "icon_custom_emoji_id": Parameter(text), "style": Parameter(text)} | {
    action: Parameter(read) for action, read in ACTIONS.items()
}
_REPLY_KEYBOARD = {
    "keyboard": Parameter(json_array),
    "is_persistent": Parameter(boolean),
    "resize_keyboard": Parameter(boolean),
    "one_time_keyboard": Parameter(boolean),
    "input_field_placeholder": Parameter(text),
    "selective": Parameter(boolean),
}


def any_markup(name: str, value: Any) -> Markup:
    """Read the reply_markup of a send method; the result is {} for the kinds that a Message does not show."""
    markup = json_object(name, value)
    if "inline_keyboard" in markup:
        return inline_markup(name, markup)
    if "keyboard" in markup:
        checked = check_fields("ReplyKeyboardMarkup", markup, _REPLY_KEYBOARD)
        for row in checked["keyboard"]:
            if not isinstance(row, list) or not all(_reply_button_text(button) for button in row):
                raise bad_request("can't parse reply keyboard markup: a row holds buttons with text")
        return {}
    if markup.get("remove_keyboard") is True or markup.get("force_reply") is True:
        return {}
    raise bad_request("object expected as reply markup")


def inline_markup(name: str, value: Any) -> Markup:
    """Read an InlineKeyboardMarkup; an empty one is {} as in a Message, which then has no reply_markup."""
    markup = json_object(name, value)
    if not isinstance(markup.get("inline_keyboard"), list) or len(markup) > 1:
        raise bad_request("can't parse inline keyboard markup: only inline_keyboard, an array of rows, is expected")
    rows = []
    for row in markup["inline_keyboard"]:
        if not isinstance(row, list):
            raise bad_request("can't parse inline keyboard markup: a row must be an array of buttons")
        if row:
            rows.append([_inline_button(button) for button in row])
    if sum(map(len, rows)) > MAX_BUTTONS:
        raise bad_request("reply markup is too long")
    return {"inline_keyboard": rows} if rows else {}


def _inline_button(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise bad_request("can't parse inline keyboard button: an object is expected")
    button = check_fields("InlineKeyboardButton", given, _BUTTON)
    if not button.get("text", "").strip():
        raise bad_request('can\'t parse inline keyboard button: field "text" must be non-empty')
    actions = button.keys() & ACTIONS.keys()
    if not actions:
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if len(actions) > 1:
        # The real server takes the first that it finds.
        raise bad_request(f"can't parse inline keyboard button: exactly one action is allowed, not {sorted(actions)}")
    if "style" in button and button["style"] not in STYLES:
        raise bad_request(f"can't parse inline keyboard button: style must be one of {', '.join(STYLES)}")
    data = button.get("callback_data")
    if data is not None and not 1 <= len(data.encode()) <= MAX_CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    if "url" in button:
        parts = urlsplit(button["url"])
        if parts.scheme not in {"http", "https", "tg", "ton"} or not parts.netloc:
            raise bad_request(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")
    return button


def _reply_button_text(button: Any) -> str:
    given = button.get("text") if isinstance(button, dict) else button
    return given if isinstance(given, str) else ""
