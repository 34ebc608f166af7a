// Drag and drop onto a chat: an overlay with one zone per way of sending.

import { h, icon } from "./dom.js";

/** `drop(files, kind)` is called with what was let go over a zone of `host`. */
export function acceptDrops(host, drop) {
  const zones = [
    zone("photo", "Drop here to send as photos", "Quick, the size is reduced"),
    zone("file", "Drop here to send as files", "Byte for byte, nothing is lost"),
  ];
  const overlay = h("div.drop", { testid: "drop", hidden: true }, ...zones);
  host.append(overlay);

  function zone(kind, title, about) {
    const element = h(
      "div.drop-zone",
      { testid: `drop-${kind}` },
      icon(kind),
      h("strong", {}, title),
      h("span", {}, about),
    );
    element.addEventListener("dragenter", () => {
      zones.forEach((other) => other.classList.toggle("over", other === element));
    });
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      drop([...event.dataTransfer.files], kind);
    });
    return element;
  }

  const hide = () => {
    overlay.hidden = true;
    zones.forEach((element) => element.classList.remove("over"));
  };
  host.addEventListener("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    overlay.hidden = false;
    if (!event.target.closest?.(".drop-zone")) zones.forEach((element) => element.classList.remove("over"));
  });
  host.addEventListener("dragleave", (event) => {
    if (!host.contains(event.relatedTarget)) hide();
  });
  host.addEventListener("drop", hide);
}

/** A file let go beside a chat must not replace the page. */
export function refuseOtherDrops() {
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
}
