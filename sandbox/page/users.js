// The left column: who writes to the bot in this sandbox.

import { addUser, ApiError } from "./api.js";
import { summary } from "./message.js";
import { avatar, h, icon, iconButton } from "./dom.js";
import { dialog, menu } from "./ui.js";

export class UserList {
  /** `app` has open(id, {beside}), changed(user), block(user), added(user). */
  constructor(app) {
    this.app = app;
    this.items = h("ul.users", { testid: "users" });
    const add = iconButton("plus", "Add a user", { testid: "add-user", onclick: () => this.askForUser() });
    const close = iconButton("close", "Close the list", { testid: "close-drawer", onclick: () => app.closeDrawer() });
    close.classList.add("only-narrow");
    this.element = h(
      "nav.sidebar",
      { "aria-label": "Users", testid: "sidebar" },
      h("header.sidebar-header", {}, h("h2", {}, "Users"), add, close),
      this.items,
    );
  }

  /** `users` with {unread, last}; `open` are the ids on the screen. */
  render(users, open) {
    // A click on an item that is made anew between press and release would be lost.
    const shown = JSON.stringify([users, open, this.app.wide]);
    if (this.shown === shown) return;
    this.shown = shown;
    const focused = this.items.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.items.replaceChildren(...users.map((user) => this.item(user, open.includes(user.id))));
    if (focused) this.items.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  item(user, isOpen) {
    const more = iconButton("dots", `Menu of ${user.first_name}`, {
      testid: "user-menu",
      "aria-haspopup": "menu",
      "data-key": `menu-${user.id}`,
    });
    more.addEventListener("click", () => this.openMenu(more, user, isOpen));
    const count = user.unread > 99 ? "99+" : String(user.unread);
    const badge = h("span.badge", { testid: "unread", "aria-label": `${count} unread` }, count);
    return h(
      "li.user",
      { class: isOpen ? "user open" : "user", testid: "user", "data-user-id": String(user.id) },
      h(
        "button.user-main",
        {
          type: "button",
          "aria-current": isOpen ? "true" : null,
          "data-key": `open-${user.id}`,
          onclick: () => this.app.open(user.id),
        },
        avatar(user.first_name, user.id),
        h(
          "span.user-about",
          {},
          h("span.user-name", {}, user.first_name, h("span.language", {}, user.language_code)),
          h("span.user-last", {}, user.blocked ? "has blocked the bot" : summary(user.last) || "no messages yet"),
        ),
        user.unread > 0 && badge,
      ),
      more,
    );
  }

  openMenu(anchor, user, isOpen) {
    const beside = {
      label: "Open beside",
      icon: icon("split"),
      testid: "open-beside",
      act: () => this.app.open(user.id, true),
    };
    const block = {
      label: user.blocked ? "Unblock the bot" : "Block the bot",
      icon: icon("block"),
      testid: "user-block",
      danger: !user.blocked,
      act: () => this.app.block(user),
    };
    menu(anchor, isOpen || !this.app.wide ? [block] : [beside, block]);
  }

  /** Ask in a dialog for a new user; `beside` opens the new chat next to the present one. */
  askForUser(beside = false) {
    const name = h("input", { required: true, maxlength: "64", autocomplete: "off", testid: "user-name" });
    const language = h(
      "select",
      { testid: "user-language" },
      h("option", { value: "en" }, "English"),
      h("option", { value: "ru" }, "Русский"),
    );
    const failure = h("p.failure", { role: "alert", hidden: true });
    const cancel = h("button.quiet", { type: "button" }, "Cancel");
    const form = h(
      "form",
      {},
      h("label", {}, "First name", name),
      h("label", {}, "Language", language),
      failure,
      h("div.actions", {}, cancel, h("button.primary", { testid: "user-save" }, "Add")),
    );
    const title = "Add a user";
    const element = dialog({ class: "card", testid: "user-dialog", "aria-label": title }, h("h2", {}, title), form);
    cancel.addEventListener("click", () => element.close());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const user = await addUser(name.value.trim(), language.value);
        element.close();
        this.app.added(user, beside);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        failure.textContent = error.message;
        failure.hidden = false;
      }
    });
  }
}
