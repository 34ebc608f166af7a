// Toasts, dialogs and menus.

import { h } from "./dom.js";

const TOAST_MS = 5000;

/** A short line over `host` (a chat, or the page); errors are read out at once. */
export function toast(host, text, { error = false } = {}) {
  let tray = host.querySelector(":scope > .toasts");
  if (!tray) {
    tray = h("div.toasts");
    host.append(tray);
  }
  const line = h("div.toast", { testid: "toast", role: error ? "alert" : "status" }, text);
  line.classList.toggle("error", error);
  const close = () => line.remove();
  line.addEventListener("click", close);
  tray.append(line);
  while (tray.children.length > 3) tray.firstChild.remove();
  setTimeout(close, Math.max(TOAST_MS, text.length * 70));
}

/** A modal dialog; Esc and a click outside close it, and it leaves the page when closed. */
export function dialog(attributes, ...children) {
  const element = h("dialog", attributes, ...children);
  element.addEventListener("click", (event) => event.target === element && element.close());
  element.addEventListener("close", () => element.remove());
  document.body.append(element);
  element.showModal();
  return element;
}

export function alertDialog(title, text) {
  const ok = h("button.primary", { type: "button", testid: "alert-ok", autofocus: true }, "OK");
  const element = dialog(
    { class: "card", testid: "alert", role: "alertdialog", "aria-label": title },
    h("h2", {}, title),
    h("p.pre", {}, text),
    h("div.actions", {}, ok),
  );
  ok.addEventListener("click", () => element.close());
}

/**
 * A menu beside `anchor`: items are {label, icon, testid, act, danger}. The arrow keys move, Esc closes;
 * the browser's popover closes it on a click outside and gives the focus back.
 */
export function menu(anchor, items) {
  const buttons = items.map((item) =>
    h(
      "button.menu-item",
      {
        type: "button",
        role: "menuitem",
        testid: item.testid,
        class: item.danger ? "menu-item danger" : "menu-item",
        onclick: () => {
          element.hidePopover();
          item.act();
        },
      },
      item.icon,
      item.label,
    ),
  );
  const element = h("div.menu", { popover: "auto", role: "menu" }, ...buttons);
  element.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = buttons.indexOf(document.activeElement);
    buttons[(at + step + buttons.length) % buttons.length].focus();
  });
  element.addEventListener("toggle", (event) => {
    anchor.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState === "closed") element.remove();
  });
  document.body.append(element);
  element.showPopover();
  place(element, anchor.getBoundingClientRect());
  buttons[0].focus();
}

function place(element, anchor) {
  const { offsetWidth: width, offsetHeight: height } = element;
  const below = anchor.bottom + 6 + height < window.innerHeight;
  const left = anchor.left < window.innerWidth / 2 ? anchor.left : anchor.right - width;
  element.style.top = `${below ? anchor.bottom + 6 : anchor.top - height - 6}px`;
  element.style.left = `${Math.max(8, left)}px`;
}
