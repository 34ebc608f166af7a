// A photo in full size over the page, with the other photos of its chat to the left and right.

import { h, iconButton } from "./dom.js";
import { textOf } from "./message.js";
import { dialog } from "./ui.js";

export function openViewer(messages, messageId) {
  const photos = messages.filter((message) => message.photo);
  let at = photos.findIndex((message) => message.message_id === messageId);

  const picture = h("img", { testid: "viewer-photo", alt: "" });
  const caption = h("p.viewer-caption", { dir: "auto" });
  const count = h("span.viewer-count");
  const download = h("a.icon-button", { title: "Download", "aria-label": "Download" });
  download.append(...iconButton("download", "").childNodes);
  const close = iconButton("close", "Close", { testid: "viewer-close", autofocus: true });
  const previous = iconButton("left", "Previous photo", { onclick: () => show(at - 1) });
  const next = iconButton("right", "Next photo", { onclick: () => show(at + 1) });
  previous.classList.add("viewer-previous");
  next.classList.add("viewer-next");

  const stage = h("div.viewer-stage", {}, picture);
  const bar = h("div.viewer-bar", {}, count, h("span.grow"), download, close);
  const attributes = { class: "viewer", testid: "viewer", "aria-label": "Photo" };
  const element = dialog(attributes, bar, stage, previous, next, caption);
  close.addEventListener("click", () => element.close());
  stage.addEventListener("click", (event) => event.target === stage && element.close());
  element.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) show(at + step);
  });

  function show(index) {
    if (!photos[index]) return;
    at = index;
    const message = photos[at];
    const { url, width, height } = message.photo;
    picture.src = url;
    picture.alt = textOf(message) || "Photo";
    caption.textContent = textOf(message);
    caption.hidden = !textOf(message);
    count.textContent = `${at + 1} of ${photos.length} · ${width}×${height}`;
    download.href = url;
    download.setAttribute("download", `photo_${message.message_id}.jpg`);
    previous.hidden = at === 0;
    next.hidden = at === photos.length - 1;
  }

  show(at);
}
