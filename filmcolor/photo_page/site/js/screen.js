// The start, and the photograph: wait for its colours, compare, adjust, keep it.

import { isColored } from "./colored.js";
import { Compare } from "./compare.js";
import { GradeSliders } from "./grade.js";
import { latest } from "./latest.js";
import { Loader } from "./loader.js";
import { Progress } from "./progress.js";
import { canShare, download, Result, share } from "./result.js";
import { sentence, unreadable } from "./support.js";

const MIN_SIDE = 640; // pixels, long side of what is shown
const MAX_SIDE = 2048;
const PLACEHOLDER_SIDE = 1024; // pixels
const GROWN = 1.25; // times, from which a larger window gets a sharper picture

/**
 * @typedef {object} Current the photograph that was chosen
 * @property {File} file
 * @property {any} [photo] with its colours, once it has them
 * @property {Result} [result]
 */

/** What is shown: the start, or a photograph from the moment it is chosen. */
export class Screen {
  /** @type {Current | undefined} */
  #current;
  #chosen = 0; // counts choices: a later one takes the place of what is still under way
  #side = 0; // pixels, long side of what should be shown
  #shownSide = 0; // of what is shown
  /** @type {GradeSliders | undefined} */
  #sliders;

  /** @param {Record<string, any>} elements of the page, by their ids in camel case */
  constructor(elements) {
    this.elements = elements;
    this.progress = new Progress(elements);
    this.loader = new Loader(this.progress);
    this.compare = new Compare(elements);
    this.paint = latest(
      (request) => this.#paint(request),
      (error) => this.#showFailure(error),
    );
    elements.retry.addEventListener("click", () => this.#color());
    elements.loadAgain.addEventListener("click", () => this.load());
    elements.another.addEventListener("click", () => history.back());
    elements.save.addEventListener("click", () => this.#keep(elements.save, download));
    elements.share.addEventListener("click", () => this.#keep(elements.share, share));
    elements.share.hidden = !canShare();
    addEventListener("popstate", () => this.#leave());
    new ResizeObserver(() => this.#sharpen()).observe(elements.frame);
  }

  /** Load the network, so that it is there when a photograph is. */
  async load() {
    this.#hideProblem();
    try {
      await this.loader.open();
    } catch (error) {
      if (this.#current) return; // shown with the photograph that waits
      this.#showProblem(sentence(error));
      this.elements.loadAgain.hidden = false;
    }
  }

  /** Colour a photograph, in place of the one that is shown. */
  async choose(/** @type {File} */ file) {
    const choice = ++this.#chosen;
    const isLate = () => choice !== this.#chosen;
    this.#hideProblem();
    const read = await readPhotograph(file).catch(() => null);
    if (isLate()) return closeAll(read?.small);
    if (!read) return this.#showProblem(unreadable(file));
    this.#forget();
    this.#current = { file: read.copy };
    this.#enter();
    this.compare.showPlaceholder(read.small);
    return this.#color();
  }

  /** Colour the photograph that was chosen; can be repeated. */
  async #color() {
    const current = this.#current;
    const isLate = () => current !== this.#current;
    this.#hideProblem();
    try {
      if (!this.loader.isOpen) this.progress.waitForNetwork();
      const colorizer = await this.loader.open();
      if (isLate()) return;
      this.progress.color();
      const photo = await colorizer.color(current.file);
      if (isLate()) return photo.close();
      current.photo = photo;
      current.result = new Result(current.file, photo);
      await this.#showColors(current, colorizer.parameters);
    } catch (error) {
      if (isLate()) return;
      this.#showProblem(sentence(error));
      this.elements.retry.hidden = false;
      this.elements.retry.focus();
    } finally {
      if (!isLate()) this.progress.end();
    }
  }

  async #showColors(current, parameters) {
    const { photo } = current;
    this.#sliders ??= new GradeSliders(this.elements, parameters, () => this.#ask());
    const side = this.#wantedSide();
    this.#side = side;
    const [before, after] = await Promise.all([
      photo.before(side),
      photo.after(side, this.#sliders.grade),
    ]);
    if (current !== this.#current) return closeAll(before, after);
    this.#showNotices(photo, isColored(before));
    this.compare.show(before, after);
    this.#shownSide = side;
    this.elements.controls.hidden = this.elements.reset.hidden = false;
    this.progress.say("The photograph is in colour.");
  }

  #showNotices(photo, wasColored) {
    const { notices } = this.elements;
    const lines = [];
    if (photo.isReduced) {
      lines.push(
        `Made smaller, from ${photo.originalWidth} × ${photo.originalHeight} to ` +
          `${photo.width} × ${photo.height} pixels, the most that this page handles.`,
      );
    }
    if (wasColored) {
      lines.push("This photograph has colours of its own. The new ones take their place.");
    }
    notices.textContent = lines.join(" ");
    notices.hidden = !lines.length;
  }

  /** Paint the photograph again, unless a later request comes first. */
  #ask() {
    const { photo } = this.#current;
    this.paint({ photo, grade: this.#sliders.grade });
  }

  async #paint({ photo, grade }) {
    if (photo !== this.#current?.photo) return;
    const side = this.#side;
    const [after, before] = await Promise.all([
      photo.after(side, grade),
      side !== this.#shownSide ? photo.before(side) : null,
    ]);
    if (photo !== this.#current?.photo) return closeAll(after, before);
    this.#hideProblem();
    this.#shownSide = side;
    if (before) this.compare.show(before, after);
    else this.compare.showAfter(after);
  }

  #wantedSide() {
    return Math.round(Math.min(Math.max(this.compare.screenSide, MIN_SIDE), MAX_SIDE));
  }

  /** Paint a picture with more pixels when its place on the screen has grown. */
  #sharpen() {
    const photo = this.#current?.photo;
    if (!photo || this.elements.controls.hidden) return;
    const side = Math.min(this.#wantedSide(), Math.max(photo.width, photo.height));
    if (side < this.#side * GROWN) return;
    this.#side = side;
    this.#ask();
  }

  /** Make the file and give it to the person. */
  async #keep(button, give) {
    const { result } = this.#current;
    const { format, note } = this.elements;
    if (button.getAttribute("aria-busy") === "true") return;
    this.#hideProblem();
    button.setAttribute("aria-busy", "true");
    try {
      note.textContent = "One moment…";
      const file = await result.file(this.#sliders.grade, format.value);
      if (result !== this.#current?.result) return;
      note.textContent = await give(file);
    } catch (error) {
      if (result !== this.#current?.result) return;
      note.textContent = "";
      this.#showFailure(error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  #enter() {
    const { start, work, workTitle } = this.elements;
    if (!work.hidden) return;
    start.hidden = true;
    work.hidden = false;
    workTitle.focus();
    if (history.state !== "photo") history.pushState("photo", ""); // so that "back" leads here
  }

  /** Go back to the start. */
  #leave() {
    const { start, work, title } = this.elements;
    if (work.hidden) return;
    this.#chosen += 1;
    this.#forget();
    this.#hideProblem();
    work.hidden = true;
    start.hidden = false;
    title.focus();
  }

  #forget() {
    this.#current?.photo?.close();
    this.#current = undefined;
    this.#sliders?.setDefaults();
    this.compare.clear();
    this.progress.end();
    for (const name of ["controls", "reset", "notices"]) this.elements[name].hidden = true;
  }

  /** Show what went wrong with a photograph that is in colour. */
  #showFailure(error) {
    this.#showProblem(sentence(error));
    this.elements.retry.hidden = this.loader.isOpen; // else it must be coloured again
  }

  #showProblem(text) {
    const { start, problem, startProblem } = this.elements;
    const place = start.hidden ? problem : startProblem;
    place.textContent = text;
    place.hidden = false;
    place.scrollIntoView({ block: "nearest" });
  }

  #hideProblem() {
    const { problem, startProblem, retry, loadAgain, note } = this.elements;
    for (const each of [problem, startProblem, retry, loadAgain]) each.hidden = true;
    for (const each of [problem, startProblem, note]) each.textContent = "";
  }
}

/**
 * Return a small picture of a file, to show before there are colours, and a copy of the file: the
 * file itself may change. Rejects what is not a picture.
 */
async function readPhotograph(/** @type {File} */ file) {
  const { name, type } = file;
  const copy = new File([await file.arrayBuffer()], name, { type });
  const bitmap = await createImageBitmap(copy);
  const scale = Math.min(1, PLACEHOLDER_SIDE / Math.max(bitmap.width, bitmap.height));
  const side = (length) => Math.max(1, Math.round(length * scale));
  const size = { resizeWidth: side(bitmap.width), resizeHeight: side(bitmap.height) };
  const small = await createImageBitmap(bitmap, { ...size, resizeQuality: "medium" });
  bitmap.close(); // an <img> would keep all its pixels
  return { copy, small };
}

function closeAll(/** @type {(ImageBitmap | null | undefined)[]} */ ...bitmaps) {
  for (const bitmap of bitmaps) bitmap?.close();
}
