"""The chat page in a real Chromium against the running sandbox, with aiogram's Bot at the other end."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    ReplyParameters,
)
from PIL import Image
from playwright.async_api import Browser, Locator, Page, Request, ViewportSize, expect

from sandbox.server import Sandbox
from tests.browsers import chromium

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDE: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 720}

PASTE = """(name) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(["pixels"], name, {type: "image/png"}));
    document.querySelector("[data-testid=composer]").dispatchEvent(
        new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
}"""


def picture(colour: str, size: tuple[int, int] = (300, 200), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def keyboard(*rows: list[tuple[str, str]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text=text, callback_data=data) for text, data in row] for row in rows]
    )


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = []
    for colour in ("red", "green", "blue"):
        path = tmp_path / f"{colour}.png"
        path.write_bytes(picture(colour))
        paths.append(path)
    return paths


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest_asyncio.fixture(loop_scope="module")
async def bot(sandbox: Sandbox) -> AsyncIterator[Bot]:
    session = AiohttpSession(api=TelegramAPIServer.from_base(sandbox.url))
    async with Bot(sandbox.token, session=session) as bot:
        yield bot


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, sandbox: Sandbox) -> AsyncIterator[Page]:
    """The page with user 100 in a wide window; a script error or a request that leaves the sandbox fails the test."""
    sandbox.user(100)
    context = await browser.new_context(viewport=WIDE, locale="en-GB")
    page = await context.new_page()
    page.set_default_timeout(10_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script error: {error}"))

    def check(request: Request) -> None:
        if not request.url.startswith((sandbox.url, "blob:", "data:")):
            problems.append(f"left the sandbox: {request.url}")

    page.on("request", check)
    await page.goto(sandbox.url)
    await expect(page.get_by_test_id("start")).to_be_visible()
    yield page
    await context.close()
    assert problems == []


async def write(page: Page, text: str) -> None:
    await page.get_by_test_id("composer").fill(text)
    await page.keyboard.press("Enter")


async def begin(page: Page, bot: Bot) -> None:
    """The user presses START, and the bot learns of it."""
    await page.get_by_test_id("start").click()
    await expect(messages(page).last).to_contain_text("/start")
    await take(bot)


async def take(bot: Bot) -> list[Message | CallbackQuery]:
    """Return what the user has done since the last call."""
    updates = await bot.get_updates(timeout=5)
    if updates:
        await bot.get_updates(offset=updates[-1].update_id + 1, timeout=0)
    return [update.message or update.callback_query for update in updates]  # type: ignore[misc]


def messages(scope: Page | Locator) -> Locator:
    return scope.get_by_test_id("message")


async def loaded(photo: Locator) -> bool:
    """Return whether the browser has decoded the picture of a photo."""
    return bool(await photo.locator("img").last.evaluate("image => image.decode().then(() => image.naturalWidth > 0)"))


async def test_start_sends_the_command_and_shows_the_answer(page: Page, bot: Bot) -> None:
    await bot.set_my_description("I paint photos.")
    await expect(page.get_by_test_id("description")).to_have_text("I paint photos.")
    await page.get_by_test_id("start").click()
    [message] = await take(bot)
    assert isinstance(message, Message)
    assert message.text == "/start"
    await bot.send_message(100, "Hello, <b>Ann</b> &lt;img src=x&gt;", parse_mode="HTML")
    answer = messages(page).last
    await expect(answer.locator("b")).to_have_text("Ann")
    await expect(answer).to_contain_text("<img src=x>")
    await expect(answer).to_have_attribute("data-from", "bot")
    await expect(page.get_by_test_id("welcome")).to_be_hidden()


async def test_photo_is_uploaded_through_the_file_input_with_its_caption(
    page: Page, bot: Bot, pictures: list[Path]
) -> None:
    await page.get_by_test_id("file-input").set_input_files(pictures[0])
    await expect(page.get_by_test_id("tray-item")).to_have_count(1)
    await write(page, "Paint this")
    photo = messages(page).last.get_by_test_id("photo")
    await expect(photo).to_be_visible()
    assert await loaded(photo)
    await expect(messages(page).last).to_contain_text("Paint this")
    await expect(page.get_by_test_id("tray")).to_be_hidden()
    [message] = await take(bot)
    assert isinstance(message, Message)
    assert message.caption == "Paint this"
    assert message.photo is not None
    assert (message.photo[-1].width, message.photo[-1].height) == (300, 200)

    await photo.click()
    await expect(page.get_by_test_id("viewer-photo")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("viewer")).to_have_count(0)


async def test_file_arrives_byte_for_byte_and_can_be_downloaded(page: Page, bot: Bot, pictures: list[Path]) -> None:
    await page.get_by_test_id("attach").click()
    async with page.expect_file_chooser() as chooser:
        await page.get_by_test_id("attach-file").click()
    await (await chooser.value).set_files(pictures[1])
    await page.get_by_test_id("send").click()
    document = messages(page).last.get_by_test_id("document")
    await expect(document).to_contain_text("green.png")
    [message] = await take(bot)
    assert isinstance(message, Message)
    assert message.document is not None
    received = await bot.download(message.document)
    assert received is not None
    assert received.read() == pictures[1].read_bytes()
    async with page.expect_download() as download:
        await document.click()
    assert (await (await download.value).path()).read_bytes() == pictures[1].read_bytes()


async def test_several_photos_make_one_album(page: Page, bot: Bot, pictures: list[Path]) -> None:
    await page.get_by_test_id("file-input").set_input_files(pictures)
    await page.get_by_test_id("tray-remove").nth(1).click()
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("album").get_by_test_id("photo")).to_have_count(2)
    await expect(messages(page)).to_have_count(1)
    received = await take(bot)
    assert len(received) == 2
    assert len({message.media_group_id for message in received if isinstance(message, Message)}) == 1


async def test_the_tray_switches_from_photo_to_file(page: Page, bot: Bot, pictures: list[Path]) -> None:
    await page.get_by_test_id("file-input").set_input_files(pictures[0])
    await page.get_by_test_id("as-file").click()
    await page.get_by_test_id("send").click()
    await expect(messages(page).last.get_by_test_id("document")).to_be_visible()
    [message] = await take(bot)
    assert isinstance(message, Message)
    assert message.photo is None


async def test_a_refusal_is_said_and_keeps_what_was_picked(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"%PDF-1.7 not a picture")
    await page.get_by_test_id("file-input").set_input_files(broken)
    await write(page, "my photo")
    await expect(page.get_by_role("alert")).to_contain_text("not a picture")
    await expect(page.get_by_test_id("tray-item")).to_have_count(1)
    await expect(page.get_by_test_id("composer")).to_have_value("my photo")
    await expect(messages(page)).to_have_count(0)


async def drag(page: Page, zone: str, paths: list[Path]) -> None:
    """Drag files over the chat, to a zone of the overlay, and let go: real input events of the browser."""
    devtools = await page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}

    async def event(kind: str, target: Locator) -> None:
        box = await target.bounding_box()
        assert box is not None
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        await devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})

    chat, target = page.get_by_test_id("chat"), page.get_by_test_id(f"drop-{zone}")
    await event("dragEnter", chat)
    await expect(target).to_be_visible()
    await event("dragOver", target)
    await expect(target).to_have_class(re.compile("over"))
    await event("drop", target)
    await expect(page.get_by_test_id("drop")).to_be_hidden()


async def test_dropped_files_go_as_their_zone_says(page: Page, bot: Bot, pictures: list[Path]) -> None:
    await drag(page, "file", pictures[:1])
    await expect(page.get_by_test_id("as-file")).to_have_attribute("aria-pressed", "true")
    await page.get_by_test_id("send").click()
    await expect(messages(page).last.get_by_test_id("document")).to_contain_text("red.png")
    await drag(page, "photo", pictures[1:])
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("album").get_by_test_id("photo")).to_have_count(2)
    received = [message for message in await take(bot) if isinstance(message, Message)]
    assert [bool(message.photo) for message in received] == [False, True, True]


async def test_a_pasted_picture_comes_into_the_tray(page: Page) -> None:
    await page.evaluate(PASTE, "shot.png")
    await expect(page.get_by_test_id("tray-item")).to_contain_text("shot.png")
    await expect(page.get_by_test_id("as-photo")).to_have_attribute("aria-pressed", "true")


async def test_a_message_takes_ten_files(page: Page, pictures: list[Path]) -> None:
    await page.get_by_test_id("file-input").set_input_files(pictures * 4)
    await expect(page.get_by_test_id("tray-item")).to_have_count(10)
    await expect(page.get_by_role("alert")).to_contain_text("2 files left out")


async def test_a_reply_shows_what_it_answers(page: Page, bot: Bot) -> None:
    await write(page, "my question")
    [question] = await take(bot)
    assert isinstance(question, Message)
    await bot.send_message(100, "my answer", reply_parameters=ReplyParameters(message_id=question.message_id))
    await expect(messages(page).last.get_by_test_id("reply")).to_have_text("my question")


async def test_a_button_waits_for_the_answer_which_is_a_toast_or_an_alert(page: Page, bot: Bot) -> None:
    await begin(page, bot)
    await bot.send_message(100, "Choose", reply_markup=keyboard([("Slow", "mode:slow"), ("Why?", "why")]))
    slow = page.get_by_test_id("button").filter(has_text="Slow")
    await slow.click()
    await expect(slow).to_have_attribute("aria-busy", "true")
    [query] = await take(bot)
    assert isinstance(query, CallbackQuery)
    assert query.data == "mode:slow"
    await bot.answer_callback_query(query.id, "Slow it is")
    await expect(page.get_by_test_id("toast")).to_have_text("Slow it is")
    await expect(slow).not_to_have_attribute("aria-busy", "true")

    await page.get_by_test_id("button").filter(has_text="Why?").click()
    [query] = await take(bot)
    await bot.answer_callback_query(query.id, "Because", show_alert=True)  # type: ignore[union-attr]
    await expect(page.get_by_test_id("alert")).to_contain_text("Because")
    await page.get_by_test_id("alert-ok").click()
    await expect(page.get_by_test_id("alert")).to_have_count(0)


async def test_an_edit_changes_the_message_in_its_place(page: Page, bot: Bot) -> None:
    await begin(page, bot)
    shown = await bot.send_photo(
        100,
        BufferedInputFile(picture("gray", (150, 100)), "preview.png"),
        caption="40%",
        reply_markup=keyboard([("Stop", "x")]),
    )
    await bot.send_message(100, "something later")
    message = page.locator(f"[data-message-id='{shown.message_id}']")
    await expect(message).to_contain_text("40%")
    photo = await message.get_by_test_id("photo").element_handle()
    source = await message.locator("img").get_attribute("src")
    height = await message.evaluate("element => element.offsetHeight")

    media = InputMediaPhoto(media=BufferedInputFile(picture("gold", (900, 600)), "result.png"), caption="80%")
    await bot.edit_message_media(
        media, chat_id=100, message_id=shown.message_id, reply_markup=keyboard([("Halt", "x")])
    )
    await expect(message).to_contain_text("80%")
    await expect(message.locator("img").last).not_to_have_attribute("src", source or "")
    await expect(message.locator("img")).to_have_count(1)
    assert await loaded(message.get_by_test_id("photo"))
    assert photo is not None
    assert await photo.evaluate("element => element.isConnected"), "the photo was made anew instead of changed"
    assert await message.evaluate("element => element.offsetHeight") == height
    await expect(message.get_by_test_id("button")).to_have_text("Halt")
    await expect(message.get_by_test_id("edited")).to_be_visible()
    await expect(messages(page).last).to_contain_text("something later")

    await bot.delete_message(100, shown.message_id)
    await expect(message).to_have_count(0)


async def test_users_are_apart_and_side_by_side(page: Page, bot: Bot, sandbox: Sandbox) -> None:
    await begin(page, bot)
    await page.get_by_test_id("split").click()
    await page.get_by_test_id("user-name").fill("Борис")
    await page.get_by_test_id("user-language").select_option("ru")
    await page.get_by_test_id("user-save").click()
    chats = page.get_by_test_id("chat")
    await expect(chats).to_have_count(2)
    second = chats.nth(1)
    await expect(second.get_by_test_id("who")).to_contain_text("Борис")
    await second.get_by_test_id("start").click()
    [message] = await take(bot)
    assert isinstance(message, Message)
    assert message.from_user is not None
    assert (message.from_user.first_name, message.from_user.language_code) == ("Борис", "ru")
    other = message.from_user.id
    await bot.send_message(other, "for Boris only")
    await expect(messages(second).last).to_contain_text("for Boris only")
    await expect(messages(chats.nth(0))).to_have_count(1)

    await second.get_by_test_id("close-chat").click()
    await expect(chats).to_have_count(1)
    await bot.send_message(other, "unread by Boris")
    badge = page.locator(f"[data-testid=user][data-user-id='{other}']").get_by_test_id("unread")
    await expect(badge).to_have_text("1")
    await expect(messages(page)).to_have_count(1)


async def test_reload_keeps_the_chats(page: Page, bot: Bot, sandbox: Sandbox) -> None:
    sandbox.user(101, first_name="Eve")
    await page.goto(f"{sandbox.url}/#/100/101")
    await page.reload()
    first = page.get_by_test_id("chat").nth(0)
    await first.get_by_test_id("start").click()
    await expect(messages(first)).to_have_count(1)
    await bot.send_message(100, "kept")
    await page.reload()
    await expect(page.get_by_test_id("chat")).to_have_count(2)
    await expect(messages(first).last).to_contain_text("kept")
    await expect(messages(page.get_by_test_id("chat").nth(1))).to_have_count(0)


async def test_it_stays_at_the_bottom_only_when_it_was_there(page: Page, bot: Bot) -> None:
    await begin(page, bot)
    for number in range(30):
        await bot.send_message(100, f"line {number}")
    await expect(messages(page).last).to_be_in_viewport()
    scroller = page.get_by_test_id("scroller")
    await scroller.evaluate("element => element.scrollTo(0, 0)")
    await expect(page.get_by_test_id("pill")).to_be_visible()
    await bot.send_message(100, "the newest")
    await expect(page.get_by_test_id("pill")).to_contain_text("1 new message")
    assert await scroller.evaluate("element => element.scrollTop") == 0
    await page.get_by_test_id("pill").click()
    await expect(messages(page).last).to_be_in_viewport()
    await expect(page.get_by_test_id("pill")).to_be_hidden()


async def test_commands_are_listed_and_completed(page: Page, bot: Bot) -> None:
    await begin(page, bot)
    await bot.set_my_commands(
        [BotCommand(command="help", description="What I do"), BotCommand(command="cancel", description="Stop")]
    )
    await page.get_by_test_id("commands-button").click()
    await expect(page.get_by_test_id("command")).to_have_count(2)
    await page.keyboard.press("Escape")
    await page.get_by_test_id("composer").press_sequentially("/ca")
    await expect(page.get_by_test_id("command")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(messages(page).last).to_contain_text("/cancel")
    assert [message.text for message in await take(bot) if isinstance(message, Message)] == ["/cancel"]


async def test_enter_sends_and_shift_enter_breaks_the_line(page: Page, bot: Bot) -> None:
    await page.get_by_test_id("composer").press_sequentially("one")
    await page.keyboard.press("Shift+Enter")
    await page.get_by_test_id("composer").press_sequentially("two")
    await page.keyboard.press("Enter")
    [message] = await take(bot)
    assert isinstance(message, Message)
    assert message.text == "one\ntwo"
    await expect(page.get_by_test_id("composer")).to_have_value("")


async def test_block_and_unblock(page: Page, bot: Bot, sandbox: Sandbox) -> None:
    await begin(page, bot)
    await page.get_by_test_id("chat-menu").click()
    await page.get_by_test_id("block").click()
    await expect(page.get_by_test_id("composer")).to_be_hidden()
    assert sandbox.user(100).blocked
    await page.get_by_test_id("unblock").click()
    await expect(page.get_by_test_id("composer")).to_be_visible()
    assert not sandbox.user(100).blocked


async def test_it_connects_again_when_the_server_comes_back(page: Page, bot: Bot, sandbox: Sandbox) -> None:
    await begin(page, bot)
    port = int(sandbox.url.rpartition(":")[2])
    await sandbox.stop()
    await expect(page.get_by_test_id("status")).to_contain_text("connecting")
    await write(page, "is anyone there?")
    await expect(page.get_by_role("alert")).to_contain_text("does not answer")
    await expect(page.get_by_test_id("composer")).to_have_value("is anyone there?")
    await sandbox.start(port=port)
    await expect(page.get_by_test_id("status")).not_to_contain_text("connecting", timeout=10_000)
    await write(page, "welcome back")
    await expect(messages(page)).to_have_count(2)

    # A new server knows nobody: the page begins a new chat instead of waiting for the old one.
    await sandbox.stop()
    async with Sandbox() as other:
        await other.stop()
        await other.start(port=port)
        await expect(page.get_by_test_id("start")).to_be_visible(timeout=10_000)


async def test_a_phone_has_one_column_and_a_drawer(
    page: Page, bot: Bot, sandbox: Sandbox, pictures: list[Path]
) -> None:
    sandbox.user(101, first_name="Eve")
    await page.set_viewport_size(PHONE)
    await page.goto(f"{sandbox.url}/#/100/101")
    await page.reload()
    await expect(page.get_by_test_id("chat")).to_have_count(1)
    await begin(page, bot)
    await bot.send_message(
        100, "w" * 300, reply_markup=keyboard([("A rather long label", "a"), ("And another one", "b")])
    )
    await bot.send_photo(100, BufferedInputFile(pictures[0].read_bytes(), "wide.png"))
    await expect(page.get_by_test_id("photo")).to_be_in_viewport()
    width = "Math.max(document.body.scrollWidth, document.querySelector('[data-testid=scroller]').scrollWidth)"
    assert await page.evaluate(width) <= PHONE["width"]
    await expect(page.get_by_test_id("sidebar")).to_be_hidden()
    await page.get_by_test_id("drawer").click()
    await page.get_by_test_id("user").filter(has_text="Eve").get_by_role("button").first.click()
    await expect(page.get_by_test_id("sidebar")).to_be_hidden()
    await expect(page.get_by_test_id("chat")).to_have_attribute("data-user-id", "101")


async def test_only_allowed_html_gets_into_the_page(page: Page) -> None:
    hostile = (
        "<b>bold</b><img src=x><script>window.bad = 1</script><a href='javascript:bad()'>link</a>"
        "<a href='https://example.org/' onclick='bad()'>fine</a><form><input></form>"
        "<span style='color:red'>plain</span>"
    )
    cleaned = await page.evaluate(
        """async (html) => {
            const { sanitize } = await import("/dom.js");
            const host = document.createElement("div");
            host.append(sanitize(html));
            return host.innerHTML;
        }""",
        hostile,
    )
    link = '<a href="https://example.org/" target="_blank" rel="noopener noreferrer">fine</a>'
    assert cleaned == f"<b>bold</b>link{link}plain"
