// One chat with the bot, as one user sees it: header, messages, composer, and the stream that keeps them current.

import { ApiError, follow, press, sendText, setBlocked } from "./api.js";
import { Pressed } from "./buttons.js";
import { Composer } from "./composer.js";
import { botAvatar, h, icon, iconButton } from "./dom.js";
import { acceptDrops } from "./drop.js";
import { MessageList } from "./list.js";
import { alertDialog, menu, toast } from "./ui.js";
import { openViewer } from "./viewer.js";

// Telegram shows an action for five seconds, or until the message comes.
const ACTION_MS = 5000;
const ACTIONS = {
  typing: "typing",
  upload_photo: "sending a photo",
  upload_document: "sending a file",
  choose_sticker: "choosing a sticker",
};

export class Chat {
  /** `app` has usersMenu(), split(), close(chat), gone(user), changed(user), heard(chat, message, isNew). */
  constructor(user, app) {
    this.user = user;
    this.app = app;
    this.bot = null;
    this.online = false;
    this.actionTimer = null;
    this.pressed = new Pressed();
    this.title = h("h1.bot-name", { testid: "bot-name" }, "…");
    this.status = h("div.status", { role: "status", testid: "status" });
    this.welcome = h("div.welcome", { testid: "welcome" });
    const actions = {
      press: (...pressed) => this.press(...pressed),
      view: (message) => openViewer(this.list.all(), message.message_id),
      find: (messageId) => this.list.find(messageId),
      goTo: (messageId) => this.list.goTo(messageId),
    };
    this.list = new MessageList(actions, this.welcome, user.language_code);
    this.composer = new Composer(user.id, {
      say: (text) => this.say(text, { error: true }),
      sent: () => this.list.toBottom(),
    });
    this.unblock = h("button.bar-button", { type: "button", testid: "unblock", onclick: () => this.block(false) });
    this.unblock.append("Unblock the bot");
    this.element = h(
      "section.chat",
      { testid: "chat", "data-user-id": String(user.id), "aria-label": `Chat of ${user.first_name}` },
      this.header(),
      this.list.element,
      this.composer.element,
      this.unblock,
    );
    acceptDrops(this.element, (files, kind) => !this.user.blocked && this.composer.add(files, kind));
    this.showBlocked();
    this.showStatus();
    this.stop = follow(user.id, {
      snapshot: (snapshot) => this.snapshot(snapshot),
      message: (message) => this.message(message),
      edited: (message) => this.edited(message),
      deleted: ({ message_id }) => this.deleted(message_id),
      answer: (answer) => this.answer(answer),
      action: ({ action }) => this.action(action),
      offline: () => this.setOnline(false),
      gone: () => app.gone(user),
    });
  }

  header() {
    const more = iconButton("dots", "More", { testid: "chat-menu", "aria-haspopup": "menu" });
    more.addEventListener("click", () => this.openMenu(more));
    const users = iconButton("menu", "Users", { testid: "drawer", onclick: () => this.app.usersMenu() });
    users.classList.add("only-narrow");
    const split = iconButton("split", "Open a second chat", { testid: "split", onclick: () => this.app.split() });
    split.classList.add("only-wide", "when-single");
    const close = iconButton("close", "Close this chat", { testid: "close-chat", onclick: () => this.app.close(this) });
    close.classList.add("only-wide", "when-split");
    this.who = h("span.who", { testid: "who", title: `You write as ${this.user.first_name}` });
    this.who.append(this.user.first_name, h("span.language", {}, this.user.language_code));
    return h(
      "header.chat-header",
      {},
      users,
      botAvatar(),
      h("div.chat-title", {}, this.title, this.status),
      this.who,
      split,
      close,
      more,
    );
  }

  openMenu(anchor) {
    const { blocked } = this.user;
    menu(anchor, [
      {
        label: blocked ? "Unblock the bot" : "Block the bot",
        icon: icon("block"),
        testid: "block",
        danger: !blocked,
        act: () => this.block(!blocked),
      },
    ]);
  }

  say(text, options) {
    toast(this.list.element, text, options);
  }

  snapshot({ bot, messages }) {
    this.bot = bot;
    this.setOnline(true);
    this.title.textContent = bot.first_name;
    this.composer.setCommands(bot.commands ?? []);
    this.welcome.replaceChildren(...this.welcomeCard());
    this.list.replace(messages);
    this.app.heard(this, messages[messages.length - 1], false);
  }

  welcomeCard() {
    const about = this.bot.description || this.bot.short_description;
    const start = h("button.primary", { type: "button", testid: "start", onclick: () => this.start() }, "START");
    return [
      botAvatar("large"),
      h("h2", {}, this.bot.first_name),
      about ? h("p.pre", { testid: "description" }, about) : null,
      start,
    ].filter(Boolean);
  }

  async start() {
    await this.attempt(() => sendText(this.user.id, "/start"));
    this.composer.focus();
  }

  message(message) {
    if (message.from_bot) this.action(null);
    this.list.add(message);
    this.app.heard(this, message, message.from_bot);
  }

  edited(message) {
    this.list.add(message);
    this.app.heard(this, this.list.newest(), false);
  }

  deleted(messageId) {
    this.list.delete(messageId);
    this.app.heard(this, this.list.newest(), false);
  }

  async press(message, button, element) {
    this.pressed.add(element);
    const done = await this.attempt(() => press(this.user.id, message.message_id, button.data));
    if (!done) this.pressed.release(element);
  }

  answer({ text, show_alert }) {
    this.pressed.release();
    if (text && show_alert) alertDialog(this.bot.first_name, text);
    else if (text) this.say(text);
  }

  action(action) {
    clearTimeout(this.actionTimer);
    this.currentAction = action && (ACTIONS[action] ?? action.replaceAll("_", " "));
    if (action) this.actionTimer = setTimeout(() => this.action(null), ACTION_MS);
    this.showStatus();
  }

  async block(blocked) {
    const done = await this.attempt(() => setBlocked(this.user.id, blocked));
    if (done) this.app.changed({ ...this.user, blocked });
  }

  /** The user as the server has it now. */
  setUser(user) {
    this.user = user;
    this.showBlocked();
  }

  showBlocked() {
    this.element.classList.toggle("blocked", this.user.blocked);
  }

  /** Returns whether it worked; if not, the reason has been said. */
  async attempt(call) {
    try {
      await call();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.say(error.message, { error: true });
      return false;
    }
  }

  setOnline(online) {
    this.online = online;
    this.showStatus();
  }

  showStatus() {
    const busy = this.online ? this.currentAction : "connecting";
    this.status.classList.toggle("busy", Boolean(busy));
    this.status.textContent = busy || (this.bot ? `@${this.bot.username}` : "");
    if (busy) this.status.append(h("span.dots", { "aria-hidden": "true" }, h("i"), h("i"), h("i")));
  }

  end() {
    this.stop();
    this.action(null);
    this.element.remove();
  }
}
