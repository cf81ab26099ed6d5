// The frame on the large picture: grey at once, in colour as soon as it is there.

import { announce } from "./dom.js";
import { Frames } from "./frames.js";

const PATIENCE = 150; // milliseconds for which the frame before stays, instead of a grey one
const REST = 350; // milliseconds without a change after which what comes next is prepared
const LONG = 1500; // milliseconds after which the colours' arrival is read out

/**
 * `isBusy()`: whether a correction is on its way. `isPlaying()`: whether a clip is shown instead.
 * `onRest(frame)` is called when the frame is in colour and nothing more was asked for;
 * `onNews()` when the film's version is another than ours; `onError(error)`.
 */
export class FrameView {
  #frame = -1;
  #wantedAt = 0;
  #isForward = true;
  #timers = {};

  constructor(filmId, viewer, handlers) {
    Object.assign(this, { viewer, handlers, numFrames: 0 });
    this.frames = new Frames(filmId, {
      onArrive: (frame, side, version) => this.#arrived(frame, side, version),
      onError: (error, frame) => this.#failed(error, frame),
      keep: (bitmap) => viewer.shows(bitmap),
    });
  }

  close() {
    Object.values(this.#timers).forEach(clearTimeout);
    this.frames.close();
  }

  /** The version of the film's colours that is wanted. */
  get version() {
    return this.frames.version;
  }

  set version(version) {
    if (version === this.frames.version) return;
    this.frames.version = version;
    this.#wantedAt = performance.now();
  }

  show(frame) {
    this.#isForward = frame >= this.#frame;
    this.#frame = frame;
    this.#wantedAt = performance.now();
    this.update();
    this.#later("rest", REST, () => this.#rest());
  }

  /** Shows what is there of the frame, and asks for the rest. */
  update() {
    if (this.#frame < 0 || this.handlers.isPlaying()) return;
    const grey = this.frames.peek(this.#frame, "grey");
    const color = this.frames.peek(this.#frame, "color");
    this.frames.want(this.#frame);
    clearTimeout(this.#timers.patience);
    const left = PATIENCE - (performance.now() - this.#wantedAt);
    if (color && (grey || (color.isCurrent && left <= 0))) {
      const mark = color.isCurrent && !this.handlers.isBusy() ? "" : "colouring anew…";
      this.viewer.setFrame(grey?.bitmap ?? color.bitmap, color.bitmap, mark);
    } else if (left > 0) this.#later("patience", left, () => this.update());
    else if (grey) this.viewer.setFrame(grey.bitmap, null, "colouring…");
    else this.viewer.setMark("loading…");
  }

  /** Marks the colours as those of before, if a correction is on its way. */
  mark() {
    if (this.handlers.isBusy()) this.viewer.setMark("colouring anew…");
  }

  #arrived(frame, side, version) {
    const isOther = side === "color" && version !== this.frames.version;
    if (isOther && !this.handlers.isBusy()) this.handlers.onNews();
    if (frame !== this.#frame) return;
    this.update();
    if (side === "grey") return;
    if (performance.now() - this.#wantedAt > LONG) announce(`Frame ${frame} in colour`);
    this.#later("rest", REST, () => this.#rest());
  }

  #failed(error, frame) {
    if (frame !== this.#frame) return;
    this.viewer.setMark("not shown");
    this.handlers.onError(error);
  }

  /** Fetches what is likely to be wanted next, once the frame itself is there. */
  #rest() {
    if (!this.frames.peek(this.#frame, "color")?.isCurrent || this.handlers.isPlaying()) return;
    const steps = this.#isForward ? [1, -1, 2, 3] : [-1, 1, -2, -3];
    const frames = steps.map((step) => this.#frame + step);
    this.frames.prepare(frames.filter((frame) => frame >= 0 && frame < this.numFrames));
    this.handlers.onRest(this.#frame);
  }

  #later(name, milliseconds, action) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(action, milliseconds);
  }
}
