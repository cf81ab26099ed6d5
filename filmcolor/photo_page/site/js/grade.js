// The sliders: how strong the colours are, and how warm.

/** @typedef {{saturation: number, warmth: number}} Grade */

const STEP = 0.05;
const TITLES = { saturation: "Saturation", warmth: "Warmth" };
const MOST_SATURATION = 2; // of a slider: a finger needs room, and hardly anybody wants more

/** Sliders of a grade, their values, and a way back to the defaults. */
export class GradeSliders {
  #rows = new Map();

  /**
   * @param {{sliders: HTMLElement, reset: HTMLButtonElement}} elements where they are put
   * @param {Record<string, {least: number, most: number, usual: number}>} ranges by name
   * @param {(grade: Grade) => void} onChange
   */
  constructor({ sliders, reset }, ranges, onChange) {
    const { saturation } = ranges;
    const most = Math.min(saturation.most, MOST_SATURATION);
    this.ranges = { ...ranges, saturation: { ...saturation, most } };
    this.onChange = onChange;
    this.reset = reset;
    reset.addEventListener("click", () => {
      this.setDefaults();
      onChange(this.grade);
    });
    sliders.replaceChildren(...Object.keys(TITLES).map((name) => this.#row(name)));
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
