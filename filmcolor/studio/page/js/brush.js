// The brush: tools, colour, size, swatches; it says what a stroke looks like.

import { button, fill, h, icon, iconButton } from "./dom.js";

const TOOLS = [
  ["look", "Look", "hand", "V"],
  ["brush", "Brush", "brush", "B"],
  ["grey", "Grey brush", "drop", "N"],
  ["eraser", "Eraser", "eraser", "E"],
  ["picker", "Take a colour from the picture", "picker", "I"],
];
const GREY = "#808080";
const SMALLEST = 2; // pixels of the frame
const SWATCHES = [
  ["film", "This film"],
  ["photo", "Picture"],
  ["skin", "Skin"],
  ["sky", "Sky"],
  ["foliage", "Foliage"],
];

/** `onChange()` is called for another tool, colour or size; `actions` see MendPanel. */
export class Brush {
  tool = "look";
  #color = "#b03a2e";
  #limit = 100;
  #swatches = "";

  constructor(actions, onChange) {
    this.onChange = onChange;
    this.buttons = new Map();
    const tools = h("div", { class: "tools", role: "group", "aria-label": "Tools" });
    for (const [tool, name, picture, key] of TOOLS) {
      const props = { title: `${name} (${key})`, "aria-pressed": String(tool === this.tool) };
      const element = iconButton(name, picture, { ...props, "data-testid": `tool-${tool}` });
      element.addEventListener("click", () => this.setTool(this.tool === tool ? "look" : tool));
      this.buttons.set(tool, element);
      tools.append(element);
    }
    this.picker = h("input", {
      type: "color",
      class: "color-input",
      value: this.#color,
      "aria-label": "Colour to paint with",
      title: "Colour to paint with",
      "data-testid": "color",
    });
    this.picker.addEventListener("input", () => this.setColor(this.picker.value));
    this.slider = h("input", {
      type: "range",
      class: "slider",
      min: "0",
      max: "100",
      value: "50",
      "aria-label": "Brush size",
      title: "Brush size ([ and ])",
      "data-testid": "brush-size",
    });
    this.slider.addEventListener("input", () => this.#resize());
    this.swatches = h("div", { class: "swatches", "data-testid": "swatches" });
    const history = { class: "icon-button history" };
    this.undo = iconButton("Undo", "undo", { ...history, "data-testid": "undo" });
    this.redo = iconButton("Redo", "redo", { ...history, "data-testid": "redo" });
    this.undo.addEventListener("click", actions.undo);
    this.redo.addEventListener("click", actions.redo);
    this.clear = button("Clear this frame", { picture: "trash", kind: "quiet" });
    this.clear.addEventListener("click", actions.clear);
    this.clear.title = "Remove all strokes from this frame";
    this.shown = h("input", { type: "checkbox", checked: true, onchange: actions.strokes });
    this.unsent = h("div", { class: "problem unsent", role: "alert", hidden: true });
    this.element = h(
      "section",
      { class: "mend-part", "aria-label": "Paint" },
      h("h2", {}, "Paint"),
      h("p", { class: "muted" }, "Choose a colour, then paint on the picture."),
      this.swatches,
      h("div", { class: "tools-row" }, tools, this.undo, this.redo),
      h("div", { class: "brush-row" }, this.picker, icon("brush"), this.slider),
      h("div", { class: "row" }, this.clear, h("label", { class: "check" }, this.shown, "Show strokes")),
      this.unsent,
    );
    this.actions = actions;
    this.#resize();
  }

  /** The colour of the next stroke; null erases. */
  get color() {
    if (this.tool === "eraser") return null;
    return this.tool === "grey" ? GREY : this.#color;
  }

  /** The width of the next stroke, pixels of the frame. */
  get width() {
    const share = Number(this.slider.value) / 100;
    return Math.round(SMALLEST * (this.#limit / SMALLEST) ** share);
  }

  setTool(tool) {
    this.tool = tool;
    for (const [name, element] of this.buttons) {
      element.setAttribute("aria-pressed", String(name === tool));
    }
    this.#mark();
    this.onChange();
  }

  /** Takes a colour, and the brush to paint with it. */
  setColor(color) {
    this.#color = color.toLowerCase();
    this.picker.value = this.#color;
    this.setTool("brush");
  }

  resize(steps) {
    this.slider.value = String(Number(this.slider.value) + 5 * steps);
    this.#resize();
  }

  /** Adapts the sizes to the frame's height in pixels. */
  setFrameHeight(height) {
    this.#limit = Math.max(height / 3, 12);
    this.#resize();
  }

  /** Takes {film: [color, …], skin, sky, foliage}. */
  setSwatches(groups) {
    const key = JSON.stringify(groups);
    if (key === this.#swatches) return;
    this.#swatches = key;
    fill(
      this.swatches,
      SWATCHES.filter(([name]) => groups[name]?.length).map(([name, title]) =>
        h(
          "div",
          { class: "swatch-row", role: "group", "aria-label": title },
          h("span", { class: "swatch-title", "aria-hidden": "true" }, title),
          h("div", { class: "swatch-colors" }, groups[name].map((color, index) => this.#swatch(color, title, index))),
        ),
      ),
    );
    this.#mark();
  }

  /** Shows what can be taken back, whether the frame has strokes, and how many were not sent. */
  update({ undo, redo, hasStrokes, numFailed }) {
    this.undo.disabled = !undo && !numFailed;
    this.redo.disabled = !redo;
    this.undo.title = `${undo ? `Undo: ${undo}` : "Undo"} (Ctrl+Z)`;
    this.redo.title = `${redo ? `Redo: ${redo}` : "Redo"} (Ctrl+Shift+Z)`;
    this.clear.disabled = !hasStrokes;
    if (this.unsent.hidden === !numFailed) return;
    this.unsent.hidden = !numFailed;
    const { retry, discard } = this.actions;
    fill(
      this.unsent,
      h("span", {}, "Some strokes are not saved."),
      button("Try again", { kind: "quiet", onclick: retry, "data-testid": "retry-strokes" }),
      button("Discard", { kind: "quiet", onclick: discard, "data-testid": "discard-strokes" }),
    );
  }

  #swatch(color, title, index) {
    const props = {
      type: "button",
      class: "swatch",
      "aria-label": `${title} ${index + 1}, ${color}`,
      "aria-pressed": "false",
      title: color,
      style: { "background-color": color },
      dataset: { color: color.toLowerCase() },
      onclick: () => this.setColor(color),
    };
    return h("button", props);
  }

  #mark() {
    for (const swatch of this.swatches.querySelectorAll(".swatch")) {
      const isUsed = this.tool === "brush" && swatch.dataset.color === this.#color;
      swatch.setAttribute("aria-pressed", String(isUsed));
    }
  }

  #resize() {
    this.slider.setAttribute("aria-valuetext", `${this.width} pixels`);
    this.onChange();
  }
}
