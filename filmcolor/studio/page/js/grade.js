// Saturation, warmth and skin protection, for a shot or for the film.

import { h, iconButton } from "./dom.js";

const WAIT = 150; // milliseconds without a movement before a value is sent
const VALUES = [
  { name: "saturation", title: "Saturation", min: 0, max: 2, limit: 4, step: 0.05, usual: 1.15 },
  { name: "warmth", title: "Warmth", min: -1, max: 1, limit: 1, step: 0.05, usual: 0 },
  { name: "skin_protect", title: "Skin protection", min: 0, max: 1, limit: 1, step: 0.05, usual: 0 },
];
const EXPLAINED = {
  saturation: "How strong colours are; 0 is grey",
  warmth: "Towards blue, or towards amber",
  skin_protect: "How far skin keeps its colour from saturation and warmth",
};

/** Returns the grade of a shot, or of the film (null), as the corrections have it. */
export function gradeOf(corrections, number) {
  const grade = { ...corrections.film_grade };
  for (const { shots, ...values } of corrections.grades) {
    if (number === null || !shots.includes(number)) continue;
    for (const [name, value] of Object.entries(values)) {
      if (value !== null && value !== undefined) grade[name] = value;
    }
  }
  return grade;
}

/** `send(name, shots, grade)` sends the values of some shots, or of the film (null). */
export class Grade {
  #rows = new Map();
  #shot = null;
  #corrections = null;
  #timers = new Map(); // value name → timer of what is still to be sent

  constructor(send) {
    this.send = send;
    const scope = (value, title, isChecked) => {
      const radio = h("input", { type: "radio", name: "grade-scope", value, checked: isChecked });
      radio.addEventListener("change", () => this.#show());
      return [radio, h("label", { class: "check" }, radio, title)];
    };
    const [shot, shotLabel] = scope("shot", "this shot", true);
    const [film, filmLabel] = scope("film", "whole film", false);
    Object.assign(this, { shotRadio: shot, filmRadio: film });
    const scopes = { class: "row scopes", role: "radiogroup", "aria-label": "Sliders are for" };
    this.element = h(
      "section",
      { class: "mend-part", "aria-label": "Colours" },
      h("h2", {}, "Colours"),
      h("div", scopes, shotLabel, filmLabel),
      VALUES.map((value) => this.#row(value)),
    );
  }

  /** Shows the values of a shot (or null), but not where a hand is on them. */
  update(corrections, shot, isBusy) {
    const isSame = shot?.number === this.#shot?.number;
    if (!isSame) this.flush();
    this.#corrections = corrections;
    this.#shot = shot;
    this.shotRadio.disabled = !shot;
    if (!isSame || (!isBusy && !this.#timers.size)) this.#show();
  }

  /** Sends at once what was still waiting for the hand to rest. */
  flush() {
    for (const name of [...this.#timers.keys()]) this.#sendNow(name);
  }

  get #shots() {
    return this.filmRadio.checked || !this.#shot ? null : [this.#shot.number];
  }

  #show() {
    this.flush();
    if (!this.#corrections) return;
    const number = this.#shots?.[0] ?? null;
    const grade = gradeOf(this.#corrections, number);
    const own = this.#corrections.grades.filter(({ shots }) => shots.includes(number));
    for (const value of VALUES) {
      const { slider, field, reset } = this.#rows.get(value.name);
      const shown = grade[value.name] ?? value.usual;
      slider.value = String(shown);
      if (document.activeElement !== field) field.value = String(Math.round(shown * 1000) / 1000);
      const isOwn = own.some((each) => (each[value.name] ?? null) !== null);
      reset.disabled = number === null ? shown === value.usual : !isOwn;
    }
  }

  #row(value) {
    const { name, title, min, max, limit, step } = value;
    const props = { min: String(min), max: String(max), step: String(step) };
    const slider = h("input", {
      ...props,
      type: "range",
      class: "slider",
      "aria-label": title,
      title: EXPLAINED[name],
      "data-testid": `grade-${name}`,
    });
    const field = h("input", {
      ...props,
      max: String(limit),
      step: "any",
      type: "number",
      class: "grade-field",
      "aria-label": `${title}, number`,
    });
    const reset = iconButton(`Reset ${title.toLowerCase()}`, "reset");
    slider.addEventListener("input", () => {
      field.value = slider.value;
      this.#later(name);
    });
    slider.addEventListener("change", () => this.#sendNow(name));
    slider.addEventListener("dblclick", () => reset.click());
    field.addEventListener("change", () => {
      const typed = Number(field.value);
      if (field.value === "" || Number.isNaN(typed)) return this.#show();
      const confined = Math.min(Math.max(typed, min), limit);
      field.value = String(confined);
      slider.value = String(confined);
      this.send(name, this.#shots, { [name]: confined });
    });
    reset.addEventListener("click", () => {
      this.#drop(name);
      this.send(name, this.#shots, { [name]: null });
    });
    this.#rows.set(name, { slider, field, reset });
    const label = h("span", { class: "grade-title", title: EXPLAINED[name] }, title);
    return h("div", { class: "grade-row" }, label, field, reset, slider);
  }

  #later(name) {
    this.#drop(name);
    const shots = this.#shots;
    const timer = setTimeout(() => this.#sendNow(name), WAIT);
    this.#timers.set(name, { timer, shots });
  }

  #drop(name) {
    clearTimeout(this.#timers.get(name)?.timer);
    this.#timers.delete(name);
  }

  #sendNow(name) {
    const waiting = this.#timers.get(name);
    if (!waiting) return;
    this.#drop(name);
    const value = Number(this.#rows.get(name).slider.value);
    this.send(name, waiting.shots, { [name]: value });
  }
}
