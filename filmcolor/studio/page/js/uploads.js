// Files dropped onto the page: sent one after the other, also while another screen is shown.

import { api, query } from "./api.js";
import { fill, formatBytes, formatSpan, h, button, icon, iconButton } from "./dom.js";

const PICTURE_NAME = /\.(jpe?g|jfif|png|tiff?|webp|bmp|gif|jp2|jxl|avif|heic|exr|dpx|p[bgnp]m)$/i;

export const isPicture = (file) => file.type.startsWith("image/") || PICTURE_NAME.test(file.name);

/**
 * Dispatches "change" when an item changed, "film" with a film object and "photo" with a photo
 * object in `detail` when one has arrived, and "idle" when all are sent.
 */
class Uploads extends EventTarget {
  items = []; // {name, isPhoto, size, sent, started, state, error, cancel()}
  maxBytes = Infinity;
  #isSending = false;

  get isBusy() {
    return this.items.some(({ state }) => state !== "failed");
  }

  add(files) {
    for (const file of files) {
      const item = { name: file.name, size: file.size, sent: 0, started: 0, error: "", file };
      Object.assign(item, { isPhoto: isPicture(file), state: "waiting" });
      item.cancel = () => {
        this.items = this.items.filter((other) => other !== item);
        item.request?.abort();
        this.#changed();
      };
      if (file.size > this.maxBytes) {
        item.state = "failed";
        const limit = formatBytes(this.maxBytes);
        item.error = `${formatBytes(file.size)} is more than the studio takes (${limit}). Open it by its path instead.`;
      }
      this.items.push(item);
    }
    this.#changed();
    this.#send();
  }

  async #send() {
    if (this.#isSending) return;
    this.#isSending = true;
    let item;
    while ((item = this.items.find(({ state }) => state === "waiting"))) await this.#sendOne(item);
    this.#isSending = false;
    this.dispatchEvent(new Event("idle"));
  }

  async #sendOne(item) {
    Object.assign(item, { state: "sending", started: performance.now() });
    this.#changed();
    const folder = item.isPhoto ? "/api/photos" : "/api/uploads";
    try {
      item.request = api.upload(folder + query({ name: item.name }), item.file, (sent) => {
        Object.assign(item, { sent, state: sent < item.size ? "sending" : "opening" });
        this.#changed();
      });
      let answer = await item.request;
      if (!item.isPhoto) answer = await api.post("/api/films", { path: answer.path });
      this.items = this.items.filter((other) => other !== item);
      this.dispatchEvent(new CustomEvent(item.isPhoto ? "photo" : "film", { detail: answer }));
    } catch (error) {
      Object.assign(item, { state: "failed", error: error.message });
    }
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const uploads = new Uploads();

/** Returns {element, close()}: the files that are on their way, each with its progress. */
export function uploadList() {
  const element = h("ul", { class: "uploads", "aria-label": "Files on their way" });
  const rows = new Map();
  const update = () => {
    for (const [item, row] of rows) {
      if (uploads.items.includes(item)) continue;
      row.element.remove();
      rows.delete(item);
    }
    for (const item of uploads.items) {
      if (!rows.has(item)) {
        rows.set(item, uploadRow(item));
        element.append(rows.get(item).element);
      }
      rows.get(item).update();
    }
    element.hidden = !uploads.items.length;
  };
  uploads.addEventListener("change", update);
  update();
  return { element, close: () => uploads.removeEventListener("change", update) };
}

function uploadRow(item) {
  const bar = h("progress", { class: "progress", max: "1", "aria-label": `Sending ${item.name}` });
  const words = h("span", { class: "muted small" });
  const cancel = iconButton(`Cancel ${item.name}`, "close", { onclick: item.cancel });
  const name = h("span", { class: "upload-name" }, item.name);
  const element = h("li", { class: "upload" }, h("div", { class: "stack" }, name, bar, words), cancel);
  const update = () => {
    if (item.state === "failed") {
      bar.hidden = true;
      fill(words, icon("alert"), ` ${item.error}`);
      words.className = "problem small";
      cancel.setAttribute("aria-label", `Dismiss ${item.name}`);
      cancel.title = "Dismiss";
      return;
    }
    bar.value = item.size ? item.sent / item.size : 0;
    words.textContent = describe(item);
  };
  return { element, update };
}

function describe({ state, sent, size, started }) {
  if (state === "waiting") return `${formatBytes(size)}, waiting`;
  if (state === "opening") return "All there. Opening …";
  const elapsed = (performance.now() - started) / 1000;
  const left = elapsed > 1 && sent ? (elapsed * (size - sent)) / sent : null;
  const part = `${formatBytes(sent)} of ${formatBytes(size)}`;
  return left === null ? part : `${part}, ${formatSpan(left)} left`;
}

/**
 * Returns an area to drop files on, with a button to choose some. Files dropped elsewhere on the
 * page are taken by main.js. `accept`: as of an <input type="file">.
 */
export function dropZone(text, note, { accept = "", label = "Choose files" } = {}) {
  const input = h("input", { type: "file", multiple: true, accept: accept || null, hidden: true });
  const choose = button(label, { picture: "upload", onclick: () => input.click() });
  input.addEventListener("change", () => {
    uploads.add([...input.files]);
    input.value = "";
  });
  return h(
    "div",
    { class: "drop-zone" },
    h("p", { class: "drop-text" }, text),
    choose,
    input,
    note && h("p", { class: "muted small" }, note),
  );
}
