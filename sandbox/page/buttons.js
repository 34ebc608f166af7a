// The inline keyboard under a message.

import { h, icon } from "./dom.js";

const WAIT_MS = 10_000;

export function buttonRows(message, press) {
  return message.buttons.map((row) =>
    h("div.button-row", {}, ...row.map((button) => (button.url ? link(button) : key(message, button, press)))),
  );
}

function link(button) {
  return h(
    "a.key.link",
    { href: button.url, target: "_blank", rel: "noopener noreferrer", testid: "button" },
    button.text,
    icon("out"),
  );
}

function key(message, button, press) {
  const element = h("button.key", { type: "button", testid: "button" }, button.text);
  element.addEventListener("click", () => {
    if (element.getAttribute("aria-busy") === "true") return;
    press(message, button, element);
  });
  return element;
}

/** The buttons of a chat that wait for the bot's answer, oldest first: an answer does not say which one it is for. */
export class Pressed {
  constructor() {
    this.waiting = [];
  }

  add(element) {
    element.setAttribute("aria-busy", "true");
    this.waiting.push(element);
    setTimeout(() => this.release(element), WAIT_MS);
  }

  release(element = this.waiting[0]) {
    element?.removeAttribute("aria-busy");
    this.waiting = this.waiting.filter((other) => other !== element);
  }
}
