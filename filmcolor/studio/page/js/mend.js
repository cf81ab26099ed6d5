// The panel to mend colours: brush, picture, sliders, other shots, and the command that does it.

import { Brush } from "./brush.js";
import { button, commandLine, fill, h } from "./dom.js";
import { Grade } from "./grade.js";

/**
 * `actions`: `undo()`, `redo()`, `clear()`, `strokes()`, `retry()`, `discard()`, `brush()` (another
 * tool, colour or size), `grade(name, shots, grade)`, `picture(file)`, `removePicture()`,
 * `go(frame)`, `alike()`, `match(isOn)`.
 */
export class MendPanel {
  constructor(actions) {
    this.actions = actions;
    this.brush = new Brush(actions, () => actions.brush());
    this.others = h("div", { class: "row corrected", hidden: true });
    this.brush.element.append(this.others);
    this.grade = new Grade(actions.grade);
    this.command = commandLine("", "the command");
    this.folder = h("p", { class: "path" });
    this.body = h("div", { class: "mend-body", id: "mend-body" });
    this.body.append(
      this.brush.element,
      this.grade.element,
      this.#picturePart(actions),
      this.#othersPart(actions),
      h(
        "section",
        { class: "mend-part", "aria-label": "In a terminal" },
        h("h2", {}, "In a terminal"),
        h("p", { class: "muted small" }, "This command gives the same film:"),
        this.command,
        this.folder,
      ),
    );
    this.toggle = button("Mend", { picture: "brush", class: "button mend-toggle" });
    this.toggle.setAttribute("aria-controls", "mend-body");
    this.toggle.dataset.testid = "mend-toggle";
    this.toggle.addEventListener("click", () => this.open(!this.isOpen));
    this.element = h("aside", { class: "mend", "aria-label": "Mend" }, this.toggle, this.body);
    this.open(false);
  }

  /** Whether the panel is unfolded on a narrow screen; on a wide one it always is. */
  get isOpen() {
    return this.element.classList.contains("is-open");
  }

  open(isOpen) {
    this.element.classList.toggle("is-open", isOpen);
    this.toggle.setAttribute("aria-expanded", String(isOpen));
  }

  /** Shows the corrections as they concern a frame of a shot (or null). */
  update(corrections, shot, frame, { isBusy, numFailed }) {
    const { undo, redo, command, folder, match_shots: isMatched } = corrections;
    const hasStrokes = corrections.strokes.includes(frame);
    const hasPicture = corrections.references.includes(frame);
    this.brush.update({ undo, redo, hasStrokes, numFailed });
    this.#showOthers(corrections, shot, frame);
    this.grade.update(corrections, shot, isBusy);
    this.pictureNote.hidden = !hasPicture;
    this.removePicture.hidden = !hasPicture;
    this.alike.disabled = !shot;
    if (!isBusy) this.match.checked = isMatched;
    this.command.setText(command);
    const isEmpty = !undo && !redo && !corrections.strokes.length && !corrections.references.length;
    const text = isEmpty ? "Corrections are going to be in" : "Corrections are in";
    this.folder.textContent = `${text} ${folder}`;
  }

  /** Shows the other frames of the shot that have strokes or a picture, to go to them. */
  #showOthers({ strokes, references }, shot, frame) {
    const isOther = (each) => each !== frame && shot && each >= shot.first && each < shot.stop;
    const all = [...new Set([...strokes, ...references])].sort((a, b) => a - b).filter(isOther);
    if (this.others.dataset.frames === all.join()) return;
    this.others.dataset.frames = all.join();
    this.others.hidden = !all.length;
    const buttons = all.map((each) => {
      const go = button(String(each), { kind: "quiet", "aria-label": `Go to frame ${each}` });
      go.addEventListener("click", () => this.actions.go(each));
      return go;
    });
    fill(this.others, h("span", { class: "muted small" }, "Corrected frames:"), buttons);
  }

  #picturePart(actions) {
    const input = h("input", { type: "file", accept: "image/*", class: "visually-hidden" });
    Object.assign(input, { tabIndex: -1, hidden: true });
    input.dataset.testid = "picture-input";
    input.addEventListener("change", () => {
      if (input.files.length) actions.picture(input.files[0]);
      input.value = "";
    });
    const use = button("Use a picture…", { picture: "photo", onclick: () => input.click() });
    use.title = "A picture of this frame in colour; it can also be dropped onto the frame";
    this.removePicture = button("Remove it", { kind: "quiet", picture: "trash" });
    this.removePicture.addEventListener("click", actions.removePicture);
    this.pictureNote = h("p", {}, "This frame takes its colours from a picture.");
    return h(
      "section",
      { class: "mend-part", "aria-label": "Picture" },
      h("h2", {}, "Picture"),
      h("p", { class: "muted" }, "This frame, coloured elsewhere, gives its colours to the shot."),
      this.pictureNote,
      h("div", { class: "row" }, use, this.removePicture, input),
    );
  }

  #othersPart(actions) {
    this.alike = button("Shots like this one…", { picture: "film", onclick: actions.alike });
    this.match = h("input", { type: "checkbox", "data-testid": "match-shots" });
    this.match.addEventListener("change", () => actions.match(this.match.checked));
    return h(
      "section",
      { class: "mend-part", "aria-label": "Other shots" },
      h("h2", {}, "Other shots"),
      h("div", { class: "row" }, this.alike),
      h("label", { class: "check" }, this.match, "Same colours in all shots"),
      h(
        "p",
        { class: "muted small" },
        "What looks alike gets one colour everywhere; the film is read once more before it is coloured.",
      ),
    );
  }
}
