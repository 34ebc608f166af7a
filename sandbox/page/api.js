// The chat side of the sandbox over HTTP. Every failure is an ApiError whose message is a sentence for a person.

export class ApiError extends Error {}

const NO_ANSWER = "The sandbox does not answer. Is it still running?";
const RETRY_MS = [300, 700, 1500, 3000];

async function call(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError(NO_ANSWER);
  }
  const text = await response.text();
  if (!response.ok) throw new ApiError(refusal(response.status, text));
  return text ? JSON.parse(text) : null;
}

function refusal(status, text) {
  if (status === 413) return "This is more than the sandbox takes at once: 60 MB.";
  const unnamed = `The sandbox refused this (${status}).`;
  try {
    return JSON.parse(text).error || unnamed;
  } catch {
    return unnamed;
  }
}

export const listUsers = () => call("/chat/users");
export const addUser = (first_name, language_code) => call("/chat/users", { first_name, language_code });
export const sendText = (userId, text) => call(`/chat/${userId}/messages`, { text });
export const press = (userId, message_id, data) => call(`/chat/${userId}/buttons`, { message_id, data });
export const setBlocked = (userId, blocked) => call(`/chat/${userId}/blocked`, { blocked });

/** Upload files as one message or album. `kind` is "photo" or "file"; onProgress gets a fraction 0..1. */
export function sendFiles(userId, files, kind, caption, { onProgress, signal }) {
  const form = new FormData();
  form.append("as", kind);
  if (caption) form.append("caption", caption);
  for (const file of files) form.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    // XMLHttpRequest, because fetch tells nothing about the progress of an upload.
    const request = new XMLHttpRequest();
    request.open("POST", `/chat/${userId}/messages`);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      if (request.status < 300) resolve();
      else reject(new ApiError(refusal(request.status, request.responseText)));
    };
    request.onerror = () => reject(new ApiError(NO_ANSWER));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

const EVENTS = ["snapshot", "message", "edited", "deleted", "answer", "action"];

/**
 * Follow a chat: `on` has a function per event, and `offline()` and `gone()` (the server no longer knows the user).
 * A lost stream is opened again for as long as it takes; each opening begins with a snapshot.
 * Returns a function that ends it.
 */
export function follow(userId, on) {
  let source = null;
  let timer = null;
  let attempt = 0;

  function open() {
    source = new EventSource(`/chat/${userId}/events`);
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        attempt = 0;
        on[name](JSON.parse(event.data));
      });
    }
    source.onerror = lost;
  }

  function lost() {
    source?.close();
    on.offline();
    timer = setTimeout(retry, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]);
    attempt += 1;
  }

  async function retry() {
    const mine = timer;
    const users = await listUsers().catch(() => null);
    if (timer !== mine) return;
    if (!users) lost();
    else if (users.some((user) => user.id === userId)) open();
    else on.gone();
  }

  open();
  return () => {
    source?.close();
    clearTimeout(timer);
    timer = null;
  };
}

/**
 * The messages of a chat that is not on the screen: the snapshot of a stream that is closed again at once.
 * A browser opens six connections to one server, so a stream for every user would soon stop the page.
 */
export async function peek(userId) {
  const control = new AbortController();
  const deadline = setTimeout(() => control.abort(), 5000);
  try {
    const response = await fetch(`/chat/${userId}/events`, { signal: control.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!/^data:.*\r?\n\r?\n/m.test(text)) {
      const { value, done } = await reader.read();
      if (done) return null;
      text += value;
    }
    const data = text.match(/^data: ?(.*)$/m)[1];
    return JSON.parse(data).messages;
  } catch {
    return null;
  } finally {
    clearTimeout(deadline);
    control.abort();
  }
}
