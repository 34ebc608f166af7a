// The line where a message is written: text, picked files, commands.

import { ApiError, sendFiles, sendText } from "./api.js";
import { CommandMenu } from "./commands.js";
import { h, icon, iconButton, plural } from "./dom.js";
import { ALBUM_LIMIT, Tray } from "./tray.js";
import { menu } from "./ui.js";

const TEXT_LIMIT = 4096;
const CAPTION_LIMIT = 1024;

export class Composer {
  /** `say(text)` shows why something was refused; `sent()` is called after each message. */
  constructor(userId, { say, sent }) {
    this.userId = userId;
    this.say = say;
    this.sent = sent;
    this.upload = null;
    this.sending = Promise.resolve();
    this.tray = new Tray(() => this.update());
    this.input = h("textarea", {
      rows: "1",
      "aria-label": "Message",
      testid: "composer",
      enterkeyhint: "send",
      autocomplete: "off",
      oninput: () => this.typed(),
      onkeydown: (event) => this.keydown(event),
      onpaste: (event) => this.paste(event),
      onblur: () => this.commands.close(),
    });
    this.commands = new CommandMenu(this.input, (command) => this.sendCommand(command));
    this.slash = h(
      "button.icon-button.slash",
      {
        type: "button",
        testid: "commands-button",
        "aria-label": "Commands",
        title: "Commands",
        hidden: true,
        onmousedown: (event) => event.preventDefault(),
        onclick: () => this.toggleCommands(),
      },
      "/",
    );
    this.photoInput = this.fileInput("photo", { accept: "image/*,.heic,.heif", testid: "file-input" });
    this.documentInput = this.fileInput("file", { testid: "file-input-document" });
    const attach = iconButton("attach", "Attach", { testid: "attach", "aria-haspopup": "menu" });
    attach.addEventListener("click", () => this.openAttach(attach));
    this.sendButton = iconButton("send", "Send", { testid: "send", onclick: () => this.send() });
    this.sendButton.classList.add("send");
    this.cancelButton = iconButton("close", "Stop the upload", { testid: "stop-upload", hidden: true });
    this.cancelButton.addEventListener("click", () => this.upload?.abort());
    this.element = h(
      "div.composer",
      {},
      this.commands.element,
      this.tray.element,
      h(
        "div.composer-line",
        {},
        h("div.field", {}, this.slash, this.input, attach),
        this.sendButton,
        this.cancelButton,
      ),
      this.photoInput,
      this.documentInput,
    );
    this.update();
  }

  fileInput(kind, attributes) {
    const label = `Pick ${kind}s`;
    const input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": label, ...attributes });
    input.addEventListener("change", () => {
      this.add([...input.files], kind);
      input.value = "";
    });
    return input;
  }

  openAttach(anchor) {
    menu(anchor, [
      { label: "As a photo", icon: icon("photo"), testid: "attach-photo", act: () => this.photoInput.click() },
      { label: "As a file", icon: icon("file"), testid: "attach-file", act: () => this.documentInput.click() },
    ]);
  }

  setCommands(commands) {
    this.commands.commands = commands;
    this.slash.hidden = commands.length === 0;
  }

  toggleCommands() {
    this.input.focus();
    if (this.commands.open) this.commands.close();
    else this.commands.showAll();
  }

  /** Put files in the tray; `kind` is "photo" or "file". */
  add(files, kind) {
    if (this.upload || files.length === 0) return;
    const left = this.tray.add(files, kind);
    if (left) this.say(`${plural(left, "file")} left out: one message takes ${ALBUM_LIMIT}.`);
    this.focus();
  }

  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    this.add(files, files.every((file) => file.type.startsWith("image/")) ? "photo" : "file");
  }

  focus() {
    this.input.focus({ preventScroll: true });
  }

  typed() {
    this.commands.typed();
    this.update();
  }

  keydown(event) {
    if (event.isComposing || this.commands.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.send();
    } else if (event.key === "Escape" && this.tray.items.length && !this.upload) {
      this.tray.clear();
    }
  }

  send() {
    const text = this.input.value.trim();
    const limit = this.tray.items.length ? CAPTION_LIMIT : TEXT_LIMIT;
    if (this.upload) return;
    if (text.length > limit) this.say(`The text has ${text.length} characters; ${limit} are allowed here.`);
    else if (this.tray.items.length) this.sendTray(text);
    else if (text) this.sendLine(text);
  }

  sendCommand(command) {
    this.input.value = "";
    this.update();
    this.sendLine(command, false);
  }

  /** Lines go one after the other, so that quick ones arrive in the order they were written. */
  sendLine(text, own = true) {
    if (own) this.input.value = "";
    this.update();
    this.sending = this.sending.then(async () => {
      try {
        await sendText(this.userId, text);
        this.sent();
      } catch (error) {
        this.fail(error);
        if (own && !this.input.value) this.input.value = text;
        this.update();
      }
    });
  }

  async sendTray(caption) {
    this.upload = new AbortController();
    this.tray.progress(0);
    this.update();
    try {
      await sendFiles(this.userId, this.tray.files, this.tray.kind, caption, {
        onProgress: (fraction) => this.tray.progress(fraction),
        signal: this.upload.signal,
      });
      this.input.value = "";
      this.tray.clear();
      this.sent();
    } catch (error) {
      this.fail(error);
    } finally {
      this.upload = null;
      this.tray.progress(null);
      this.update();
      this.focus();
    }
  }

  fail(error) {
    if (error instanceof ApiError) this.say(error.message);
    else if (error.name !== "AbortError") throw error;
  }

  update() {
    const files = this.tray.items.length > 0;
    const busy = this.upload !== null;
    this.input.placeholder = files ? "Add a caption…" : "Message";
    this.input.readOnly = busy;
    this.input.style.height = "auto";
    if (this.input.scrollHeight) this.input.style.height = `${Math.min(this.input.scrollHeight, 200)}px`;
    this.sendButton.hidden = busy;
    this.cancelButton.hidden = !busy;
    this.sendButton.disabled = !files && !this.input.value.trim();
  }
}
