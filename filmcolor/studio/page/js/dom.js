// Elements, messages and dialogs that all screens use.

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "open", "muted"]);

/**
 * Returns an element.
 * `props`: attributes; `onclick` and the like are listeners; `class` is a text, `style` and
 * `dataset` are objects; null, undefined and false leave an attribute out.
 * `children`: nodes, texts, lists of both; null, undefined and false are skipped.
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on") && typeof value === "function") {
      element.addEventListener(name.slice(2).toLowerCase(), value);
    } else if (name === "style") {
      for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    } else if (name === "dataset") Object.assign(element.dataset, value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...clean(children));
  return element;
}

/** Puts children in place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...clean(children));
  return element;
}

function clean(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false);
}

// Drawn on 24 × 24, lines of 2: paths only.
const ICONS = {
  alert: "M12 3 2 21h20L12 3Zm0 7v5m0 2.5v.5",
  back: "M15 5l-7 7 7 7",
  brush: "M20 4c-5 2-9 6-10.5 9.5l2 2C15 14 19 9 20 4ZM9 15c-2.5 0-3.5 1.5-3.5 3S5 20.5 3.5 21C8 21.5 11 20 11 17Z",
  check: "M4 12.5 9.5 18 20 6.5",
  chevron: "M9 5l7 7-7 7",
  close: "M5 5l14 14M19 5 5 19",
  copy: "M8 8h12v12H8ZM16 8V4H4v12h4",
  download: "M12 3v12m-5-5 5 5 5-5M4 20h16",
  drop: "M12 3s6 6.500 6 11a6 6 0 0 1-12 0c0-4.500 6-11 6-11Z",
  drop: "M12 3c4 5 6 8 6 11a6 6 0 0 1-12 0c0-3 2-6 6-11Z",
  eraser: "M9 20 3.5 14.5a1.5 1.5 0 0 1 0-2L12 4l8 8-8 8H9Zm-1-12 8 8M9 20h12",
  film: "M3 4h18v16H3ZM8 4v16M16 4v16M3 9h5M3 15h5M16 9h5M16 15h5",
  folder: "M3 6h6l2 2h10v11H3Z",
  hand: "M8 12V6a1.5 1.5 0 0 1 3 0v5V4.5a1.5 1.5 0 0 1 3 0V11V6a1.5 1.5 0 0 1 3 0v9c0 4-2 6-5.5 6S7 19 5 15.5c-.8-1.5 1-3 3-.5",
  hand: "M8 12V5.500a1.500 1.500 0 0 1 3 0V11m0-6.500a1.500 1.500 0 0 1 3 0V11m0-4.500a1.500 1.500 0 0 1 3 0V15a6 6 0 0 1-6 6c-3 0-4.500-1.500-5.500-3.500L4 14c-1-2 1-3 2.500-1.500L8 14",
  help: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4m0 3v.5M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20Z",
  loop: "M17 3l3 3-3 3M20 6H8a4 4 0 0 0-4 4v1M7 21l-3-3 3-3M4 18h12a4 4 0 0 0 4-4v-1",
  minus: "M5 12h14",
  mute: "M4 9v6h4l5 4V5L8 9H4Zm12.500.500 5 5m0-5-5 5",
  next: "M6 5l9 7-9 7V5Zm12 0v14",
  pause: "M8 5v14M16 5v14",
  photo: "M3 4h18v16H3ZM3 17l5.5-6 4 4.5L16 12l5 5M16 8.5v.1",
  picker: "M14 6l4 4M12 8l4 4-8 8H4v-4l8-8Zm3-3 1.5-1.5a2 2 0 0 1 3 0l1 1a2 2 0 0 1 0 3L19 9",
  play: "M7 4v16l13-8Z",
  plus: "M12 5v14M5 12h14",
  previous: "M18 5l-9 7 9 7V5ZM6 5v14",
  queue: "M4 6h16M4 12h16M4 18h10",
  redo: "M20 9H9a5 5 0 0 0 0 10h6M16 5l4 4-4 4",
  reset: "M4 5v5h5M4.5 10A8 8 0 1 1 4 14",
  sliders: "M4 7h9m5 0h2M4 17h3m5 0h8M13 4.5v5h5v-5ZM7 14.5v5h5v-5Z",
  stop: "M6 6h12v12H6Z",
  trash: "M4 6h16M9 6V3h6v3M6 6l1 15h10l1-15M10 10v7M14 10v7",
  undo: "M4 9h11a5 5 0 0 1 0 10H9M8 5 4 9l4 4",
  upload: "M12 16V4M7 9l5-5 5 5M4 20h16",
  zoom: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm5 11.5L21 21",
};

/** Returns a small drawing without a meaning of its own: the button beside it has the name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  path.setAttribute("d", ICONS[name] ?? ICONS.alert);
  svg.append(path);
  return svg;
}

/** Returns a button with a drawing and a text; `kind` is "primary", "quiet", "danger" or "". */
export function button(text, { kind = "", picture, ...props } = {}) {
  const names = `button ${kind && `button-${kind}`}`.trim();
  return h("button", { type: "button", class: names, ...props }, picture && icon(picture), text);
}

/** Returns a button of a drawing alone; `name` is read out and shown as a tip. */
export function iconButton(name, picture, props = {}) {
  const attributes = { type: "button", class: "icon-button", "aria-label": name, title: name };
  return h("button", { ...attributes, ...props }, icon(picture));
}

/** Returns a command line that can be copied, with the button for it. */
export function commandLine(text, label = "Command") {
  const code = h("code", { class: "command-text", tabindex: "0", "aria-label": label }, text);
  const copy = button("Copy", { kind: "quiet", picture: "copy", "aria-label": `Copy: ${label}` });
  copy.addEventListener("click", () => copyText(code.textContent));
  const line = h("div", { class: "command" }, code, copy);
  line.setText = (changed) => {
    if (code.textContent !== changed) code.textContent = changed;
  };
  return line;
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("This browser does not allow copying. Select the text instead.", "error");
  }
}

/** Shows a line for some seconds; `kind` is "info", "good" or "error". It is read out, too. */
export function toast(text, kind = "info") {
  const region = document.getElementById(kind === "error" ? "alerts" : "toasts");
  for (const old of region.children) if (old.dataset.text === text) old.remove();
  const picture = { good: "check", error: "alert" }[kind];
  const close = iconButton("Dismiss", "close");
  const line = h("div", { class: `toast toast-${kind}`, dataset: { text } });
  line.append(...clean([picture && icon(picture), h("span", {}, text), close]));
  let timer = 0;
  const start = () => {
    timer = setTimeout(() => line.remove(), kind === "error" ? 15000 : 6000);
  };
  const hold = () => clearTimeout(timer);
  close.addEventListener("click", () => line.remove());
  for (const event of ["pointerenter", "focusin"]) line.addEventListener(event, hold);
  for (const event of ["pointerleave", "focusout"]) line.addEventListener(event, start);
  region.append(line);
  start();
}

/** Has a line read out by screen readers without showing it. */
export function announce(text) {
  const region = document.getElementById("announcer");
  region.textContent = "";
  setTimeout(() => {
    region.textContent = text;
  }, 50);
}

/**
 * Shows a dialog and returns a promise of the value of the button that closed it, or of null
 * after Escape or "Close". The focus goes back to where it was.
 * `buttons`: `{label, value, kind, picture, action}`; an `action` that returns false (or a
 * promise of it) keeps the dialog open; any other result than undefined is the value.
 * A button of kind "primary" is also pressed by Enter in a field of the dialog.
 */
export function openDialog(title, body, buttons = [], { wide = false } = {}) {
  const before = document.activeElement;
  const heading = h("h2", { id: `dialog-${++openDialog.count}`, tabindex: "-1" }, title);
  const form = h("form", { method: "dialog", class: "dialog-form", novalidate: true });
  const props = { class: wide ? "dialog dialog-wide" : "dialog", "aria-labelledby": heading.id };
  const dialog = h("dialog", props, form);
  return new Promise((resolve) => {
    let result = null;
    const finish = (value) => {
      result = value;
      dialog.close();
    };
    const press = async ({ action, value }) => {
      if (!action) return finish(value);
      setBusy(true);
      try {
        const outcome = await action();
        if (outcome !== false) finish(outcome === undefined ? value : outcome);
      } finally {
        setBusy(false);
      }
    };
    const setBusy = (isBusy) => {
      for (const each of footer.children) each.disabled = isBusy;
    };
    const footer = h("div", { class: "dialog-buttons" });
    for (const spec of buttons) {
      const { label, kind, picture } = spec;
      const type = kind === "primary" ? "submit" : "button";
      const element = button(label, { kind, picture, type });
      if (type === "button") element.addEventListener("click", () => press(spec));
      footer.append(element);
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const main = buttons.find(({ kind }) => kind === "primary");
      if (main) press(main);
    });
    const close = iconButton("Close", "close", { onclick: () => finish(null) });
    form.append(
      h("div", { class: "dialog-head" }, heading, close),
      // what is only read is scrolled with keys, too
      h("div", { class: "dialog-body", tabindex: buttons.length ? null : "0" }, body),
      ...(buttons.length ? [footer] : []),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[autofocus]") ?? heading).focus();
  });
}
openDialog.count = 0;

/** Asks before something that cannot be taken back; returns a promise of true or false. */
export async function confirmDialog(title, text, label, kind = "danger") {
  const buttons = [
    { label: "Cancel", value: false, kind: "quiet" },
    { label, value: true, kind },
  ];
  return (await openDialog(title, h("p", {}, text), buttons)) === true;
}

/** Returns "1:02:03" or "2:03"; with decimals "2:03.5". */
export function formatTime(seconds, decimals = 0) {
  const scale = 10 ** decimals;
  const rounded = Math.max(0, Math.round((seconds || 0) * scale)) / scale;
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor((rounded % 3600) / 60);
  const rest = (rounded % 60).toFixed(decimals).padStart(decimals ? decimals + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Returns the seconds of "83.5", "1:23.5" or "1:02:03", or NaN. */
export function parseTime(text) {
  const parts = text.trim().replace(",", ".").split(":");
  if (parts.length > 3 || !parts.every((part) => /^\d+(\.\d*)?$/.test(part.trim()))) return NaN;
  return parts.reduce((total, part) => total * 60 + Number(part), 0);
}

/** Returns "40 seconds", "3 minutes", "2 h 5 min". */
export function formatSpan(seconds) {
  const rounded = Math.max(1, Math.round(seconds));
  if (rounded < 90) return `${rounded} second${rounded === 1 ? "" : "s"}`;
  const minutes = Math.round(rounded / 60);
  if (minutes < 90) return `${minutes} minutes`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Returns "3.4 MB": decimal units, as file managers show them. */
export function formatBytes(numBytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let [value, unit] = [numBytes, 0];
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
