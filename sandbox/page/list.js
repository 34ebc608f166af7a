// The list of messages: their order, the days between them, and where it is scrolled to.

import { h, icon, plural } from "./dom.js";
import { MessageView } from "./message.js";

const NEAR_PX = 48;

export class MessageList {
  /** `welcome` is shown while the chat is empty. */
  constructor(actions, welcome, language) {
    this.actions = actions;
    this.welcome = welcome;
    this.views = new Map();
    this.stuck = true;
    this.unseen = 0;
    this.log = h("div.log", {
      role: "log",
      "aria-live": "polite",
      "aria-relevant": "additions",
      "aria-label": "Messages",
      lang: language,
      testid: "log",
    });
    this.scroller = h("div.scroller", { tabindex: "0", testid: "scroller" }, h("div.spring"), welcome, this.log);
    this.pill = h("button.pill", { type: "button", testid: "pill", hidden: true, onclick: () => this.toBottom(true) });
    this.element = h("div.list", {}, this.scroller, this.pill);
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    const sizes = new ResizeObserver(() => this.stuck && this.toBottom());
    sizes.observe(this.log);
    sizes.observe(this.scroller);
  }

  /** All messages of the chat: what is already there is changed in place. */
  replace(messages) {
    const present = new Set(messages.map((message) => message.message_id));
    for (const message of this.all()) if (!present.has(message.message_id)) this.delete(message.message_id);
    const before = this.all().length;
    for (const message of messages) this.put(message);
    if (!this.stuck && before) this.unseen += Math.max(0, messages.length - before);
    this.update();
  }

  add(message) {
    const isNew = !this.find(message.message_id);
    if (!message.from_bot) this.stuck = true;
    this.put(message);
    if (isNew && message.from_bot && !this.stuck) this.unseen += 1;
    this.update();
  }

  put(message) {
    const key = keyOf(message);
    let view = this.views.get(key);
    if (!view) {
      view = new MessageView(this.actions);
      this.views.set(key, view);
      this.openDay(message.date);
      view.put(message);
      this.log.append(view.element);
    } else {
      view.put(message);
    }
  }

  delete(messageId) {
    for (const [key, view] of this.views) {
      if (!view.messages.some((message) => message.message_id === messageId)) continue;
      view.remove(messageId);
      if (view.messages.length === 0) this.views.delete(key);
    }
    for (const day of this.log.querySelectorAll(".day")) {
      if (!day.nextElementSibling || day.nextElementSibling.matches(".day")) day.remove();
    }
    this.update();
  }

  all() {
    return [...this.views.values()].flatMap((view) => view.messages);
  }

  find(messageId) {
    return this.all().find((message) => message.message_id === messageId);
  }

  newest() {
    return this.all().reduce((one, other) => (other.message_id > (one?.message_id ?? 0) ? other : one), null);
  }

  /** Scroll to a message and mark it for a moment. */
  goTo(messageId) {
    const holds = (view) => view.messages.some((message) => message.message_id === messageId);
    const view = [...this.views.values()].find(holds);
    if (!view) return;
    view.element.scrollIntoView({ block: "center", behavior: "smooth" });
    view.element.classList.remove("marked");
    // Reading the layout makes the animation begin anew.
    void view.element.offsetWidth;
    view.element.classList.add("marked");
  }

  openDay(seconds) {
    const day = new Date(seconds * 1000);
    const days = this.log.querySelectorAll(".day");
    const key = day.toDateString();
    if (days[days.length - 1]?.dataset.day === key) return;
    this.log.append(h("div.day", { "data-day": key }, h("span", {}, dayName(day))));
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.stuck = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (this.stuck) this.unseen = 0;
    this.update();
  }

  toBottom(smooth = false) {
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: smooth ? "smooth" : "instant" });
  }

  update() {
    if (this.stuck) this.toBottom();
    this.welcome.hidden = this.views.size > 0;
    this.pill.hidden = this.stuck;
    this.pill.classList.toggle("plain", this.unseen === 0);
    const label = this.unseen ? plural(this.unseen, "new message") : "";
    this.pill.replaceChildren(icon("down"), label);
    this.pill.setAttribute("aria-label", label || "To the newest message");
  }
}

function keyOf(message) {
  return message.media_group_id ? `album ${message.media_group_id}` : `message ${message.message_id}`;
}

function dayName(day) {
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (day.toDateString() === today.toDateString()) return "Today";
  if (day.toDateString() === yesterday.toDateString()) return "Yesterday";
  return day.toLocaleDateString([], { day: "numeric", month: "long", year: "numeric" });
}
