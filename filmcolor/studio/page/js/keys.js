// The keys of the view of a film.

/** [names of keys, what they do], in the order in which help shows them. */
export const KEYS = [
  [["Space"], "play or pause; held down: drag to move the enlarged picture"],
  [["←", "→"], "one frame back or on; with Shift ten"],
  [["Page Up", "Page Down"], "previous or next shot"],
  [["C"], "all in colour, all grey, both sides"],
  [["+", "−", "0"], "larger, smaller, the whole picture"],
  [["B", "N", "E"], "brush, grey brush, eraser"],
  [["I"], "take a colour from the picture"],
  [["V", "Esc"], "put the brush away"],
  [["[", "]"], "smaller or larger brush"],
  [["Ctrl+Z", "Ctrl+Shift+Z"], "undo, redo"],
  [["H"], "hide or show the strokes"],
  [["L", "M"], "repeat, mute"],
];

const TYPED = ["text", "number", "search", "color", "file", "url", ""];

/** Returns whether an element uses keys itself. */
function takesKeys(target, event) {
  if (target.closest("dialog, textarea, select, [contenteditable]")) return true;
  if (event.key === "Escape") return false;
  if (target.matches("input")) {
    if (target.matches(".bar")) return event.key === "Home" || event.key === "End";
    if (TYPED.includes(target.type)) return true;
    return /^(Arrow|Page|Home|End| )/.test(event.key);
  }
  // a button, a link or an option is pressed by these itself
  return (event.key === " " || event.key === "Enter") && target.closest("button, a, summary, label");
}

/** Calls the film's actions for keys until `close()`. */
export class Keys {
  #space = null; // when it went down

  constructor(actions) {
    this.actions = actions;
    this.down = (event) => this.#down(event);
    this.up = (event) => this.#up(event);
    this.blur = () => this.#releaseSpace();
    document.addEventListener("keydown", this.down);
    document.addEventListener("keyup", this.up);
    window.addEventListener("blur", this.blur);
  }

  close() {
    document.removeEventListener("keydown", this.down);
    document.removeEventListener("keyup", this.up);
    window.removeEventListener("blur", this.blur);
  }

  #down(event) {
    const { actions } = this;
    const target = event.target instanceof Element ? event.target : document.body;
    if (event.defaultPrevented || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]") || takesKeys(target, event)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") this.#do(event, event.shiftKey ? actions.redo : actions.undo);
      else if (key === "y") this.#do(event, actions.redo);
      return;
    }
    if (key === " ") {
      event.preventDefault();
      if (this.#space === null) {
        this.#space = event.timeStamp;
        actions.hold(true);
      }
      return;
    }
    const step = event.shiftKey ? 10 : 1;
    const found = {
      ArrowLeft: () => actions.step(-step),
      ArrowRight: () => actions.step(step),
      PageUp: () => actions.skip(-1),
      PageDown: () => actions.skip(1),
      Escape: () => actions.tool("look"),
      v: () => actions.tool("look"),
      b: () => actions.tool("brush"),
      n: () => actions.tool("grey"),
      e: () => actions.tool("eraser"),
      i: () => actions.tool("picker"),
      c: actions.divide,
      "+": () => actions.zoom(1.25),
      "=": () => actions.zoom(1.25),
      "-": () => actions.zoom(0.8),
      "−": () => actions.zoom(0.8),
      0: () => actions.zoom(0),
      "[": () => actions.size(-1),
      "]": () => actions.size(1),
      h: actions.strokes,
      l: actions.loop,
      m: actions.mute,
    }[key];
    if (found) this.#do(event, found);
  }

  #do(event, action) {
    event.preventDefault();
    action();
  }

  #up(event) {
    if (event.key !== " " || this.#space === null) return;
    const isTap = event.timeStamp - this.#space < 500;
    const hasPanned = this.#releaseSpace();
    if (isTap && !hasPanned) this.actions.play();
    event.preventDefault();
  }

  #releaseSpace() {
    if (this.#space === null) return false;
    this.#space = null;
    return this.actions.hold(false);
  }
}
