// Elements without markup strings, and the one place where the server's HTML is taken apart.

/** h("div.name.other", {attribute: value, onclick: listener, testid: "x"}, ...children) */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "testid") element.dataset.testid = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export function iconButton(name, label, attributes = {}) {
  return h("button.icon-button", { type: "button", "aria-label": label, title: label, ...attributes }, icon(name));
}

/** A round picture with the first letter of a name, its colour chosen by the id. */
export function avatar(name, id) {
  const letter = Array.from(name.trim())[0] ?? "?";
  return h("span.avatar", { "aria-hidden": "true", "data-tone": String(id % 6) }, letter.toUpperCase());
}

export function botAvatar(size = "") {
  return h(`span.avatar.bot${size && `.${size}`}`, { "aria-hidden": "true" }, icon("brush"));
}

const ALLOWED = new Set(["B", "I", "U", "S", "CODE", "PRE", "BLOCKQUOTE", "BR"]);
const LINK = /^(https?|tg|mailto|tel):/i;

/** The server's `html` as a fragment of allowed elements; anything else is reduced to its text. */
export function sanitize(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const fragment = document.createDocumentFragment();
  copy(parsed.body, fragment);
  return fragment;
}

function copy(from, to) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE || ["SCRIPT", "STYLE", "TEMPLATE"].includes(node.tagName)) continue;
    const kept = allowed(node);
    if (kept) to.append(kept);
    copy(node, kept ?? to);
  }
}

function allowed(node) {
  if (ALLOWED.has(node.tagName)) return document.createElement(node.tagName);
  if (node.tagName === "A" && LINK.test(node.getAttribute("href") ?? "")) {
    return h("a", { href: node.getAttribute("href"), target: "_blank", rel: "noopener noreferrer" });
  }
  if (node.tagName === "SPAN" && /spoiler/.test(node.className)) {
    const reveal = (event) => {
      if (event.type === "keydown" && event.key !== "Enter") return;
      event.currentTarget.classList.add("shown");
    };
    return h("span.spoiler", { tabindex: "0", role: "button", title: "Show", onclick: reveal, onkeydown: reveal });
  }
  return null;
}

export function fileSize(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} KB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
