// The bot's commands: the list behind the "/" button, and completion while one is typed.

import { h } from "./dom.js";

export class CommandMenu {
  /** `choose(command)` is called with the text to send, such as "/start". */
  constructor(input, choose) {
    this.input = input;
    this.choose = choose;
    this.commands = [];
    this.matches = [];
    this.selected = 0;
    const id = `commands-${crypto.randomUUID()}`;
    this.element = h("ul.commands", { id, role: "listbox", "aria-label": "Commands", testid: "commands" });
    input.setAttribute("aria-controls", id);
    input.setAttribute("aria-autocomplete", "list");
    this.close();
  }

  get open() {
    return !this.element.hidden;
  }

  showAll() {
    this.show(this.commands);
  }

  typed() {
    const start = this.input.value.match(/^\/(\w*)$/)?.[1].toLowerCase();
    this.show(start === undefined ? [] : this.commands.filter(({ command }) => command.startsWith(start)));
  }

  show(commands) {
    this.matches = commands;
    this.selected = 0;
    this.element.hidden = commands.length === 0;
    this.input.setAttribute("aria-expanded", String(this.open));
    this.element.replaceChildren(
      ...commands.map(({ command, description }, index) =>
        h(
          "li.command",
          {
            id: `${this.element.id}-${index}`,
            role: "option",
            testid: "command",
            // The press would take the focus away from the text.
            onmousedown: (event) => event.preventDefault(),
            onclick: () => this.take(index),
            onmousemove: () => this.select(index),
          },
          h("strong", {}, `/${command}`),
          h("span", {}, description),
        ),
      ),
    );
    if (this.open) this.select(0);
    else this.input.removeAttribute("aria-activedescendant");
  }

  select(index) {
    this.selected = (index + this.matches.length) % this.matches.length;
    [...this.element.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === this.selected)));
    const item = this.element.children[this.selected];
    item.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", item.id);
  }

  take(index) {
    const { command } = this.matches[index];
    this.close();
    this.choose(`/${command}`);
  }

  close() {
    this.show([]);
  }

  /** Returns whether the key was meant for the menu. */
  key(event) {
    if (!this.open) return false;
    if (event.key === "ArrowDown") this.select(this.selected + 1);
    else if (event.key === "ArrowUp") this.select(this.selected - 1);
    else if (event.key === "Escape") this.close();
    else if (event.key === "Tab") this.complete();
    else if (event.key === "Enter" && !event.shiftKey) this.take(this.selected);
    else return false;
    event.preventDefault();
    return true;
  }

  complete() {
    this.input.value = `/${this.matches[this.selected].command}`;
    this.close();
  }
}
