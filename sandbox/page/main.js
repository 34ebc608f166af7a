// The page: which users there are, whose chats are open (kept in the address, #/100/101), and what is unread.

import { addUser, ApiError, listUsers, peek, setBlocked } from "./api.js";
import { Chat } from "./chat.js";
import { h } from "./dom.js";
import { refuseOtherDrops } from "./drop.js";
import { toast } from "./ui.js";
import { UserList } from "./users.js";

const WIDE = matchMedia("(min-width: 1000px)");
const PEEK_MS = 2000;
const RETRY_MS = 1500;

class App {
  constructor() {
    this.users = new Map();
    this.chats = [];
    this.active = null;
    this.opened = null;
    this.list = new UserList(this);
    this.panes = h("main.panes", {}, h("p.loading", { role: "status" }, "connecting…"));
    this.shade = h("div.shade", { onclick: () => this.closeDrawer() });
    this.element = h(
      "div.frame",
      {},
      h("div.banner", { testid: "banner" }, "Sandbox: a chat on this computer only"),
      h("div.columns", {}, this.list.element, this.shade, this.panes),
    );
    this.panes.addEventListener("focusin", (event) => this.activate(event.target));
    this.panes.addEventListener("pointerdown", (event) => this.activate(event.target));
    document.addEventListener("paste", (event) => {
      if (!event.target.closest?.("textarea, input, dialog")) this.active?.composer.paste(event);
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.closeDrawer());
    document.addEventListener("visibilitychange", () => this.readVisible());
    window.addEventListener("hashchange", () => this.moved());
    WIDE.addEventListener("change", () => this.route());
  }

  get wide() {
    return WIDE.matches;
  }

  async start() {
    document.getElementById("app").replaceWith(this.element);
    await this.load();
    this.peekInTurn();
  }

  /** Ask for the users until the server answers; the first one is made when there is none. */
  async load() {
    for (;;) {
      try {
        const users = await listUsers();
        if (users.length === 0) {
          const russian = navigator.language.startsWith("ru");
          users.push(await addUser(russian ? "Аня" : "Ann", russian ? "ru" : "en"));
        }
        this.take(users);
        this.route();
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  take(users) {
    for (const id of this.users.keys()) if (!users.some((user) => user.id === id)) this.users.delete(id);
    for (const user of users) this.put(user);
  }

  put(user) {
    const known = this.users.get(user.id) ?? { unread: 0, last: null, seen: null };
    this.users.set(user.id, { ...known, ...user });
  }

  get address() {
    return location.hash.split("/").slice(1).map(Number);
  }

  /** The address was changed, perhaps to a user whom another window has added. */
  async moved() {
    if (this.address.every((id) => this.users.has(id))) this.route();
    else await this.load();
  }

  /** Show the chats that the address names. */
  route() {
    const wanted = this.address.filter((id) => this.users.has(id));
    const ids = [...new Set(wanted.length ? wanted : [...this.users.keys()])].slice(0, wanted.length ? 2 : 1);
    if (ids.length === 0) return;
    const address = `#/${ids.join("/")}`;
    if (location.hash !== address) history.replaceState(null, "", address);
    // On a narrow screen there is room for one; the address keeps both.
    const shown = this.wide ? ids : [ids.includes(this.active?.user.id) ? this.active.user.id : ids[0]];
    for (const chat of this.chats.filter((open) => !shown.includes(open.user.id))) chat.end();
    const chatOf = (id) => this.chats.find((chat) => chat.user.id === id) ?? new Chat(this.users.get(id), this);
    this.chats = shown.map(chatOf);
    this.panes.querySelector(":scope > .loading")?.remove();
    this.chats.forEach((chat, at) => {
      const present = this.panes.children[at];
      if (present !== chat.element) this.panes.insertBefore(chat.element, present ?? null);
    });
    this.panes.classList.toggle("split", this.chats.length > 1);
    const opened = this.chats.find((chat) => chat.user.id === this.opened);
    if (opened || !this.chats.includes(this.active)) this.active = opened ?? this.chats[0];
    // On a phone the focus would bring up the keyboard.
    if (opened && this.wide) opened.composer.focus();
    this.opened = null;
    this.readVisible();
  }

  go(ids) {
    location.hash = `#/${ids.join("/")}`;
  }

  activate(target) {
    this.active = this.chats.find((chat) => chat.element.contains(target)) ?? this.active;
  }

  /** Open a user's chat in place of the active one, or beside it. */
  open(id, beside = false) {
    this.closeDrawer();
    const shown = this.chats.map((chat) => chat.user.id);
    this.opened = id;
    if (shown.includes(id)) this.route();
    else if (beside && this.wide) this.go([shown[0], id]);
    else this.go(shown.map((other) => (other === this.active.user.id ? id : other)));
  }

  /** Open a second chat: with a user who is not on the screen, or with a new one. */
  split() {
    const other = [...this.users.keys()].find((id) => !this.chats.some((chat) => chat.user.id === id));
    if (other === undefined) this.list.askForUser(true);
    else this.open(other, true);
  }

  close(chat) {
    this.go(this.chats.filter((open) => open !== chat).map((open) => open.user.id));
  }

  added(user, beside) {
    this.put(user);
    this.open(user.id, beside);
    this.render();
  }

  changed(user) {
    this.put(user);
    this.chats.find((chat) => chat.user.id === user.id)?.setUser(this.users.get(user.id));
    this.render();
  }

  async block(user) {
    try {
      await setBlocked(user.id, !user.blocked);
      this.changed({ id: user.id, blocked: !user.blocked });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      toast(document.body, error.message, { error: true });
    }
  }

  /** The server was started anew and knows other users. */
  async gone() {
    if (this.reloading) return;
    this.reloading = true;
    for (const chat of this.chats.splice(0)) chat.end();
    this.active = null;
    await this.load();
    this.reloading = false;
    toast(document.body, "The sandbox was started anew: its chats are empty again.");
  }

  heard(chat, message, isNew) {
    const user = this.users.get(chat.user.id);
    if (!user) return;
    user.last = message ?? null;
    if (document.hidden && isNew) user.unread += 1;
    this.readVisible();
  }

  /** What is on the screen counts as read. */
  readVisible() {
    if (!document.hidden) {
      for (const chat of this.chats) {
        const user = this.users.get(chat.user.id);
        if (!user) continue;
        user.unread = 0;
        user.seen = user.last?.message_id ?? user.seen ?? 0;
      }
    }
    this.render();
  }

  render() {
    const users = [...this.users.values()];
    this.list.render(users, this.chats.map((chat) => chat.user.id));
    const unread = users.reduce((sum, user) => sum + user.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}${this.active?.bot?.first_name ?? "Sandbox"}`;
  }

  /** Look for users from elsewhere, and after the chats that are not on the screen: one every two seconds. */
  async peekInTurn() {
    let pause = 0;
    for (let turn = 0; ; turn += 1) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = PEEK_MS;
      const users = await listUsers().catch(() => null);
      if (!users || this.reloading) continue;
      for (const user of users) this.changed(user);
      const hidden = [...this.users.values()].filter((user) => !this.chats.some((chat) => chat.user.id === user.id));
      if (hidden.length === 0) continue;
      // Who was never looked at comes first and at once: what a chat holds then counts as read.
      const fresh = hidden.find((user) => user.seen === null);
      const user = fresh ?? hidden[turn % hidden.length];
      if (fresh) pause = 100;
      const messages = await peek(user.id);
      if (messages && !this.chats.some((chat) => chat.user.id === user.id)) this.peeked(user.id, messages);
    }
  }

  peeked(id, messages) {
    const user = this.users.get(id);
    if (!user) return;
    user.last = messages[messages.length - 1] ?? null;
    user.seen ??= user.last?.message_id ?? 0;
    user.unread = messages.filter((message) => message.from_bot && message.message_id > user.seen).length;
    this.render();
  }

  usersMenu() {
    this.element.classList.add("drawer-open");
    this.list.element.querySelector("button").focus();
  }

  closeDrawer() {
    this.element.classList.remove("drawer-open");
  }
}

refuseOtherDrops();
new App().start();
