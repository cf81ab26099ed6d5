// The dialog that puts a film into the queue.

import { api, query } from "./api.js";
import { commandLine, fill, formatTime, h, icon, openDialog, parseTime } from "./dom.js";

const SHORT_SECONDS = 10; // enough to judge colours and motion

/** What a purpose is for, in a reader's words; the server's text says what is written. */
const TITLES = {
  share: "To watch and share",
  archive: "To keep",
  edit: "To edit further",
  master: "As a master",
};

/**
 * Asks how and where to write a film in colour; returns a promise of the job, or of null if
 * cancelled. `range`: `{start_seconds, end_seconds}` is chosen at first; without it the whole film.
 */
export async function openRender(filmId, range = {}) {
  const id = encodeURIComponent(filmId);
  const [studio, film] = await Promise.all([api.get("/api/studio"), api.get(`/api/films/${id}`)]);
  const form = new RenderForm(film, studio.purposes, range ?? {});
  form.suggest();
  const buttons = [
    { label: "Cancel", value: null, kind: "quiet" },
    { label: "Start", kind: "primary", picture: "play", action: () => form.send() },
  ];
  const job = await openDialog(`Colour ${film.name}`, form.element, buttons, { wide: true });
  form.close();
  return job;
}

class RenderForm {
  #number = 0;
  #timer = 0;
  #isPathTyped = false;

  constructor(film, purposes, range) {
    this.film = film;
    this.path = `/api/films/${encodeURIComponent(film.id)}`;
    this.purpose = purposes[0].name;
    const { start_seconds: start = 0, end_seconds: end = start + SHORT_SECONDS } = range;
    this.short = [start, Math.min(end, film.duration_seconds)];
    this.part = "end_seconds" in range ? "short" : "whole";
    this.#build(purposes);
  }

  #build(purposes) {
    this.save = h("input", { class: "input", id: "save-as", type: "text", autocomplete: "off" });
    this.save.spellcheck = false;
    this.save.setAttribute("aria-describedby", "save-note");
    this.save.addEventListener("input", () => {
      this.#isPathTyped = true;
      this.#suggestSoon();
    });
    this.saveNote = h("p", { class: "muted small", id: "save-note", role: "status" });
    this.force = h("input", { type: "checkbox", id: "replace" });
    this.forceRow = h(
      "label",
      { class: "check remark", for: "replace", hidden: true },
      this.force,
      "Replace the file that is there",
    );
    this.from = timeField("From", "range-from", this.short[0], () => this.#suggestSoon());
    this.to = timeField("To", "range-to", this.short[1], () => this.#suggestSoon());
    this.timesProblem = h("p", { class: "problem", role: "alert" });
    this.times = h(
      "div",
      { class: "times" },
      h("div", { class: "row" }, this.from.element, this.to.element),
      this.timesProblem,
    );
    this.command = commandLine("", "The same in a terminal");
    this.problem = h("p", { class: "problem", role: "alert" });
    const choosePurpose = (name) => {
      this.purpose = name;
      if (!this.#isPathTyped) this.save.value = "";
      else this.save.value = this.#withSuffix(purposes.find((each) => each.name === name).suffix);
      this.suggest();
    };
    const cards = purposes.map(({ name, text, is_playable }) =>
      radioCard("purpose", name, name === this.purpose, choosePurpose, [
        h("strong", {}, TITLES[name] ?? name, h("span", { class: "muted" }, ` – ${name}`)),
        h("span", { class: "small" }, text),
        is_playable ? null : h("span", { class: "muted small" }, "For players; browsers do not show it."),
      ]),
    );
    this.element = h(
      "div",
      { class: "stack render-form" },
      h("fieldset", {}, h("legend", {}, "How much"), h("div", { class: "choices" }, this.#parts()), this.times),
      h("fieldset", {}, h("legend", {}, "What for"), h("div", { class: "choices purposes" }, cards)),
      h("div", { class: "field" }, h("label", { for: "save-as" }, "Save as"), this.save, this.saveNote),
      this.forceRow,
      h("details", {}, h("summary", {}, "The same in a terminal"), this.command),
      this.problem,
    );
    this.times.hidden = this.part !== "part";
  }

  #parts() {
    const length = this.film.duration_seconds;
    const [start, end] = this.short;
    const seconds = Math.round(end - start);
    const choose = (part) => {
      this.part = part;
      this.times.hidden = part !== "part";
      this.suggest();
      if (part === "part") this.from.input.select();
    };
    const card = (part, text, note) =>
      radioCard("part", part, part === this.part, choose, [
        h("strong", {}, text),
        note && h("span", { class: "muted small" }, note),
      ]);
    return [
      card("whole", "Whole film", formatTime(length)),
      end - start < length - 0.5 &&
        card("short", `${seconds} seconds from ${formatTime(start, start % 1 ? 1 : 0)}`, "To try it out"),
      card("part", "A part"),
    ];
  }

  /** Returns {start_seconds, end_seconds}, {} for the whole film; throws a RangeError in words. */
  #range() {
    if (this.part === "whole") return {};
    if (this.part === "short") return { start_seconds: this.short[0], end_seconds: this.short[1] };
    const [start, end] = [this.from, this.to].map(({ input }) => parseTime(input.value));
    const length = this.film.duration_seconds;
    this.from.setValid(start >= 0 && start < length);
    this.to.setValid(end > start);
    if (!(start >= 0)) throw new RangeError("“From” is a time such as 1:23.5.");
    if (!(end >= 0)) throw new RangeError("“To” is a time such as 1:33.5.");
    if (start >= length) throw new RangeError(`The film ends at ${formatTime(length, 2)}: choose an earlier start.`);
    if (end <= start) throw new RangeError("“To” must be later than “From”.");
    return { start_seconds: start, end_seconds: Math.min(end, length) };
  }

  #withSuffix(suffix) {
    return this.save.value.replace(/\.[^.\\/]*$/, "") + suffix;
  }

  #suggestSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.suggest(), 250);
  }

  close() {
    clearTimeout(this.#timer);
    this.#number++;
  }

  /** Shows where the film would go, whether something is there, and the command. */
  async suggest() {
    const number = ++this.#number;
    const typed = this.#isPathTyped ? this.save.value.trim() : "";
    try {
      const range = this.#range();
      const ask = (output) =>
        api.get(`${this.path}/output${query({ purpose: this.purpose, ...range, output })}`);
      let answer = await ask(typed || null);
      if (!typed && "start_seconds" in range) answer = await ask(nameOfPart(answer.output, range));
      if (number !== this.#number) return;
      if (!typed) this.save.value = answer.output;
      this.command.setText(answer.command);
      this.forceRow.hidden = !answer.exists;
      if (!answer.exists) this.force.checked = false;
      fill(this.saveNote, answer.exists ? "There is a file of this name already." : "A new file.");
      fill(this.problem);
      fill(this.timesProblem);
    } catch (error) {
      if (number === this.#number) this.#show(error);
    }
  }

  #show({ name, message }) {
    const line = name === "RangeError" ? this.timesProblem : this.problem;
    fill(line, icon("alert"), h("span", {}, message));
    line.scrollIntoView({ block: "nearest" });
    return false;
  }

  async send() {
    try {
      const range = this.#range();
      if (!this.forceRow.hidden && !this.force.checked) {
        this.force.focus();
        const message = "The file is there already: tick “Replace”, or choose another name.";
        return this.#show({ message });
      }
      const body = { film: this.film.id, purpose: this.purpose, ...range, force: this.force.checked };
      if (this.save.value.trim()) body.output = this.save.value.trim();
      return await api.post("/api/jobs", body);
    } catch (error) {
      await this.suggest(); // the file may have appeared meanwhile
      return this.#show(error);
    }
  }
}

/** Returns "film.color.0m12s-0m22s.mp4": the whole film keeps its own name. */
function nameOfPart(output, { start_seconds: start, end_seconds: end }) {
  const name = (seconds) => `${Math.floor(seconds / 60)}m${String(Math.floor(seconds % 60)).padStart(2, "0")}s`;
  return output.replace(/(\.[^.\\/]*)?$/, `.${name(start)}-${name(end)}$1`);
}

function radioCard(group, value, isChecked, choose, content) {
  const input = h("input", { type: "radio", name: group, value, checked: isChecked });
  input.addEventListener("change", () => choose(value));
  return h("label", { class: "choice" }, input, h("span", { class: "choice-text" }, content));
}

function timeField(label, id, seconds, onInput) {
  const input = h("input", { class: "input", id, type: "text", inputmode: "decimal" });
  input.value = formatTime(seconds, Number.isInteger(seconds) ? 0 : 2);
  input.addEventListener("input", onInput);
  const element = h("div", { class: "field" }, h("label", { for: id }, label), input);
  const setValid = (isValid) => input.setAttribute("aria-invalid", String(!isValid));
  return { element, input, setValid };
}
