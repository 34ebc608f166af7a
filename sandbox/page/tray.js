// The files picked for the next message: thumbnails, how they are sent, and the progress of the upload.

import { fileSize, h, icon, iconButton, plural } from "./dom.js";

export const ALBUM_LIMIT = 10;

export class Tray {
  /** `changed()` is called when files come or go. */
  constructor(changed) {
    this.changed = changed;
    this.items = [];
    this.kind = "photo";
    this.title = h("span.tray-title");
    this.asPhoto = this.choice("photo", "Photo", "as-photo");
    this.asFile = this.choice("file", "File", "as-file");
    this.clearButton = iconButton("close", "Remove all", { testid: "tray-clear", onclick: () => this.clear() });
    this.strip = h("ul.tray-items", { "aria-label": "Picked files" });
    this.bar = h("progress", { max: "1", value: "0", hidden: true, testid: "upload", "aria-label": "Upload" });
    this.element = h(
      "div.tray",
      { testid: "tray", hidden: true },
      h(
        "div.tray-head",
        {},
        this.title,
        h("div.switch", { role: "group", "aria-label": "Send as" }, this.asPhoto, this.asFile),
        this.clearButton,
      ),
      this.strip,
      this.bar,
    );
  }

  choice(kind, label, testid) {
    const attributes = { type: "button", testid, onclick: () => this.setKind(kind) };
    return h("button", attributes, icon(kind), label);
  }

  get files() {
    return this.items.map((item) => item.file);
  }

  /** Returns the number of files that found no place. */
  add(files, kind) {
    const room = ALBUM_LIMIT - this.items.length;
    for (const file of files.slice(0, room)) {
      const item = { file, url: URL.createObjectURL(file) };
      item.element = this.thumbnail(item);
      this.items.push(item);
      this.strip.append(item.element);
    }
    if (kind) this.setKind(kind);
    this.update();
    return Math.max(0, files.length - room);
  }

  thumbnail(item) {
    const { file } = item;
    const picture = h("img", { src: item.url, alt: "" });
    picture.addEventListener("error", () => picture.replaceWith(h("span.tray-file", {}, icon("file"))));
    return h(
      "li.tray-item",
      { testid: "tray-item", title: `${file.name}, ${fileSize(file.size)}` },
      picture,
      h("span.tray-name", {}, file.name),
      iconButton("close", `Remove ${file.name}`, { testid: "tray-remove", onclick: () => this.remove(item) }),
    );
  }

  setKind(kind) {
    this.kind = kind;
    this.update();
  }

  remove(item) {
    URL.revokeObjectURL(item.url);
    item.element.remove();
    this.items = this.items.filter((other) => other !== item);
    this.update();
  }

  clear() {
    for (const item of [...this.items]) this.remove(item);
  }

  /** Show how much of the upload is done, as a fraction 0..1; null when none runs. */
  progress(fraction) {
    const busy = fraction !== null;
    this.bar.hidden = !busy;
    this.bar.value = fraction ?? 0;
    this.element.classList.toggle("busy", busy);
    for (const button of this.element.querySelectorAll("button")) button.disabled = busy;
  }

  update() {
    const count = this.items.length;
    const asPhoto = this.kind === "photo";
    this.element.hidden = count === 0;
    this.asPhoto.setAttribute("aria-pressed", String(asPhoto));
    this.asFile.setAttribute("aria-pressed", String(!asPhoto));
    this.title.textContent = asPhoto && count > 1 ? `Album of ${count}` : plural(count, this.kind);
    this.changed();
  }
}
