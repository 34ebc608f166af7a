// One bubble: a message, or the messages of one album. It is made once and then changed in place.

import { fileSize, h, icon, sanitize } from "./dom.js";
import { buttonRows } from "./buttons.js";

const BOX = { width: 380, height: 420, least: 200 };
const FADE_MS = 280;

export class MessageView {
  /** `actions` has press(message, button, element), view(message), find(id) and goTo(id). */
  constructor(actions) {
    this.actions = actions;
    this.messages = [];
    this.shown = {};
    this.media = h("div.media", { hidden: true });
    this.documents = h("div.documents", { hidden: true });
    this.text = h("div.text", { dir: "auto", hidden: true });
    this.meta = h("div.meta");
    this.buttons = h("div.buttons", { hidden: true });
    this.reply = h("button.reply", { type: "button", hidden: true });
    this.bubble = h("div.bubble", {}, this.reply, this.media, this.documents, this.text, this.meta);
    this.stack = h("div.stack", {}, this.bubble, this.buttons);
    this.element = h("article.row", { testid: "message" }, this.stack);
  }

  /** Take in a new or edited message of this bubble. */
  put(message) {
    const at = this.messages.findIndex((known) => known.message_id === message.message_id);
    if (at < 0) this.messages.push(message);
    else this.messages[at] = message;
    this.messages.sort((one, other) => one.message_id - other.message_id);
    this.render();
  }

  remove(messageId) {
    this.messages = this.messages.filter((message) => message.message_id !== messageId);
    if (this.messages.length) this.render();
    else this.element.remove();
  }

  render() {
    const first = this.messages[0];
    const words = this.messages.find((message) => textOf(message)) ?? first;
    this.element.classList.toggle("out", !first.from_bot);
    this.element.dataset.messageId = String(first.message_id);
    this.element.dataset.from = first.from_bot ? "bot" : "user";
    this.part("reply", first.reply_to_message_id, () => this.renderReply(first.reply_to_message_id));
    this.part("media", this.messages.filter((message) => message.photo).map(photoKey), () => this.renderMedia());
    this.part("documents", this.messages.map((message) => message.document), () => this.renderDocuments());
    this.part("text", [words.html, textOf(words)], () => {
      this.text.hidden = !textOf(words);
      this.text.replaceChildren(words.html ? sanitize(words.html) : textOf(words));
    });
    this.part("meta", [first.date, this.messages.some((message) => message.edited)], () => this.renderMeta());
    const keyboard = this.messages.find((message) => message.buttons?.length);
    this.part("buttons", [keyboard?.message_id, keyboard?.buttons], () => this.renderButtons(keyboard));
    this.bubble.classList.toggle("bare", this.text.hidden && !this.media.hidden);
  }

  /** Draw one part again only when what it shows has changed: the rest keeps its place, focus and pictures. */
  part(name, content, draw) {
    const key = JSON.stringify(content) ?? "";
    if (this.shown[name] === key) return;
    this.shown[name] = key;
    draw();
  }

  renderReply(messageId) {
    const message = messageId && this.actions.find(messageId);
    this.reply.hidden = !message;
    if (!message) return;
    this.reply.dataset.testid = "reply";
    this.reply.onclick = () => this.actions.goTo(messageId);
    this.reply.replaceChildren(message.photo ? h("img", { src: message.photo.url, alt: "" }) : "", summary(message));
  }

  renderMeta() {
    const date = new Date(this.messages[0].date * 1000);
    const edited = this.messages.some((message) => message.edited);
    const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.text.dataset.meta = `${edited ? "edited " : ""}${clock}`;
    this.meta.replaceChildren(
      ...(edited ? [h("span", { testid: "edited" }, "edited")] : []),
      h("time", { datetime: date.toISOString(), title: date.toLocaleString() }, clock),
    );
  }

  renderMedia() {
    const photos = this.messages.filter((message) => message.photo);
    this.media.hidden = photos.length === 0;
    this.media.classList.toggle("album", photos.length > 1);
    this.media.dataset.testid = photos.length > 1 ? "album" : "media";
    this.media.dataset.count = String(photos.length);
    const width = photos.length === 1 ? fit(photos[0].photo).width : BOX.width;
    this.stack.style.width = photos.length ? `${width}px` : "";
    while (this.media.children.length > photos.length) this.media.lastElementChild.remove();
    photos.forEach((message, index) => {
      const present = this.media.children[index];
      const view = this.photo(message, present, photos.length === 1);
      if (!present) this.media.append(view);
    });
  }

  /** A photo as a button; one that is already there keeps its place and fades over to the new picture. */
  photo(message, present, single) {
    const { url, width, height } = message.photo;
    const view =
      present ??
      h("button.photo", { type: "button", testid: "photo", "aria-label": "Photo, open in full size" });
    view.onclick = () => this.actions.view(message);
    view.style.aspectRatio = single ? String(fit(message.photo).ratio) : "";
    const current = view.lastElementChild;
    if (current?.getAttribute("src") === url) return view;
    const picture = h("img", { src: url, width, height, alt: "" });
    if (!current) {
      view.append(picture);
      return view;
    }
    view.dataset.wanted = url;
    picture.classList.add("arriving");
    const show = () => {
      if (view.dataset.wanted !== url) return;
      view.append(picture);
      setTimeout(() => {
        while (view.firstElementChild !== picture && view.contains(picture)) view.firstElementChild.remove();
      }, FADE_MS);
    };
    picture.decode().then(show, show);
    return view;
  }

  renderDocuments() {
    const documents = this.messages.filter((message) => message.document);
    this.documents.hidden = documents.length === 0;
    this.documents.replaceChildren(
      ...documents.map(({ document }) => {
        const name = document.file_name || "file";
        const tail = name.includes(".") ? name.split(".").pop().slice(0, 4) : "";
        return h(
          "a.document",
          { href: document.url, download: name, testid: "document", "aria-label": `Download ${name}` },
          h("span.document-icon", { "aria-hidden": "true" }, tail || icon("file"), icon("download")),
          h(
            "span.document-about",
            {},
            h("span.document-name", { title: name }, name),
            h("span.document-size", {}, fileSize(document.file_size)),
          ),
        );
      }),
    );
  }

  renderButtons(message) {
    const focused = this.buttons.contains(document.activeElement) ? document.activeElement.textContent : null;
    const rows = message ? buttonRows(message, this.actions.press) : [];
    this.buttons.hidden = rows.length === 0;
    this.buttons.replaceChildren(...rows);
    if (focused === null) return;
    const all = [...this.buttons.querySelectorAll(".key")];
    (all.find((button) => button.textContent === focused) ?? all[0])?.focus();
  }
}

export function textOf(message) {
  return message.text ?? message.caption ?? "";
}

/** A message in one line. */
export function summary(message) {
  if (!message) return "";
  const what = message.photo ? "Photo" : (message.document?.file_name ?? "");
  const text = textOf(message).replaceAll("\n", " ").slice(0, 80);
  return what && text ? `${what}, ${text}` : what || text;
}

function photoKey(message) {
  return [message.message_id, message.photo];
}

/** The box of a photo: proportions kept within bounds, and a small preview takes the room of the final picture. */
function fit({ width, height }) {
  const ratio = Math.min(2.6, Math.max(0.5, width / height));
  const fitted = Math.min(BOX.width, BOX.height * ratio);
  return { width: Math.round(Math.max(BOX.least, fitted)), ratio };
}
