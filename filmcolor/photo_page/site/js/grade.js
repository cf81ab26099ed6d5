// The sliders: how strong the colours are, and how warm.

/** @typedef {{saturation: number, warmth: number}} Grade */

const STEP = 0.05;
const TITLES = { saturation: "Saturation", warmth: "Warmth" };

/** Sliders of a grade, their values, and a way back to the defaults. */
export class GradeSliders {
  #rows = new Map();

  /**
   * @param {HTMLElement} root where they are put
   * @param {Record<string, {least: number, most: number, usual: number}>} ranges by name
   * @param {(grade: Grade) => void} onChange
   */
  constructor(root, ranges, onChange) {
    this.ranges = ranges;
    this.onChange = onChange;
    this.reset = Object.assign(document.createElement("button"), {
      type: "button",
      className: "button button-quiet reset",
      textContent: "Reset",
    });
    this.reset.setAttribute("aria-label", "Reset saturation and warmth");
    this.reset.addEventListener("click", () => {
      this.setDefaults();
      onChange(this.grade);
    });
    const rows = Object.keys(TITLES).map((name) => this.#row(name));
    root.replaceChildren(...rows, this.reset);
    this.setDefaults();
  }

  /** @returns {Grade} */
  get grade() {
    const values = [...this.#rows].map(([name, { slider }]) => [name, Number(slider.value)]);
    return Object.fromEntries(values);
  }

  /** Move all sliders to their defaults. */
  setDefaults() {
    for (const [name, { slider }] of this.#rows) slider.value = String(this.ranges[name].usual);
    this.#show();
  }

  #row(name) {
    const { least, most } = this.ranges[name];
    const row = document.createElement("label");
    row.className = "slider";
    const title = document.createElement("span");
    title.textContent = TITLES[name];
    const value = document.createElement("span");
    value.className = "value";
    value.setAttribute("aria-hidden", "true"); // the slider itself has it
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: least, max: most, step: STEP });
    slider.setAttribute("aria-label", TITLES[name]);
    slider.addEventListener("input", () => {
      this.#show();
      this.onChange(this.grade);
    });
    row.append(title, slider, value);
    this.#rows.set(name, { slider, value });
    return row;
  }

  #show() {
    for (const { slider, value } of this.#rows.values()) {
      value.textContent = Number(slider.value).toFixed(2).replace("-", "−");
    }
    this.reset.disabled = [...this.#rows].every(
      ([name, { slider }]) => Number(slider.value) === this.ranges[name].usual,
    );
  }
}
