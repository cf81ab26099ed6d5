// Strokes on frames: drawn at once, sent in order, shown until the server has them.

import { api } from "./api.js";

const SAVED = 0.4; // opacity of strokes that the picture already follows
const MIN_STEP = 0.4; // pixels between two points of a stroke

/** Draws the points of a stroke after `from` onto a canvas of the frame's size. */
function draw(context, { color, width, points }, from = 0) {
  context.save();
  context.globalCompositeOperation = color ? "source-over" : "destination-out";
  context.fillStyle = context.strokeStyle = color ?? "#000000";
  context.lineCap = "round";
  for (let i = from; i < points.length; i++) {
    const [x, y, pressure] = points[i];
    const [x0, y0, pressure0] = points[Math.max(i - 1, 0)];
    context.lineWidth = Math.max(1, (width * (pressure + pressure0)) / 2);
    context.beginPath();
    if (i === 0) {
      context.arc(x, y, context.lineWidth / 2, 0, 2 * Math.PI);
      context.fill();
    } else {
      context.moveTo(x0, y0);
      context.lineTo(x, y);
      context.stroke();
    }
  }
  context.restore();
}

/**
 * The strokes of the frame that is shown: those of the server and those not yet there.
 * `canvas` has them in the frame's pixels; `onChange()` is called when it or `failed` changed.
 */
export class Strokes {
  #pending = []; // {frame, stroke, state: "waiting" | "sending" | "sent" | "failed"}
  #saved = null;
  #savedKey = "";
  #current = null;
  #frame = -1;

  constructor(filmId, changes, onChange) {
    Object.assign(this, { filmId, changes, onChange });
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
  }

  setSize(width, height) {
    Object.assign(this.canvas, { width, height });
    this.#redraw();
  }

  /** Returns where a frame's strokes are; photographs have another place. */
  path(frame) {
    return `/api/films/${this.filmId}/frames/${frame}/strokes`;
  }

  post(frame, strokes) {
    return api.post(this.path(frame), { strokes });
  }

  get failed() {
    return this.#pending.filter(({ state }) => state === "failed");
  }

  get isEmpty() {
    return !this.#saved && !this.#current && !this.#pending.some(({ frame }) => frame === this.#frame);
  }

  get isDrawing() {
    return this.#current !== null;
  }

  /** Shows a frame's strokes, as of a version of the film. */
  async show(frame, hasStrokes, version) {
    const key = `${frame} ${hasStrokes ? version : ""}`;
    if (this.#savedKey === key) return;
    if (this.#frame !== frame) this.#saved = null;
    this.#frame = frame;
    this.#savedKey = key;
    const sent = this.#pending.filter((each) => each.frame === frame && each.state === "sent");
    let saved = null;
    if (hasStrokes) {
      this.#redraw();
      try {
        const response = await fetch(this.path(frame), { cache: "no-cache" });
        if (response.ok) saved = await createImageBitmap(await response.blob());
      } catch {
        if (this.#savedKey === key) this.#savedKey = ""; // asked for again with the next poll
        return;
      }
    }
    if (this.#savedKey !== key) return;
    this.#saved = saved;
    this.#pending = this.#pending.filter((each) => !sent.includes(each));
    this.#redraw();
  }

  begin(frame, color, width) {
    this.#current = { frame, stroke: { color, width, points: [] }, state: "waiting" };
  }

  add(x, y, pressure) {
    const { points } = this.#current.stroke;
    const last = points.at(-1);
    if (last && Math.hypot(x - last[0], y - last[1]) < MIN_STEP) return;
    const within = (value, limit) => Math.round(10 * Math.min(Math.max(value, 0), limit)) / 10;
    const { width, height } = this.canvas;
    points.push([within(x, width), within(y, height), Math.round(pressure * 100) / 100]);
    draw(this.context, this.#current.stroke, points.length - 1);
    this.onChange();
  }

  /** Ends the stroke and sends it; returns it, or null if it had no points. */
  end() {
    const ended = this.#current;
    this.#current = null;
    if (!ended?.stroke.points.length) return null;
    this.#pending.push(ended);
    this.#send();
    return ended.stroke;
  }

  cancel() {
    this.#current = null;
    this.#redraw();
  }

  retry() {
    for (const each of this.failed) {
      each.state = "waiting";
      this.#send();
    }
    this.onChange();
  }

  /** Drops strokes that the server does not have; the last one alone with `isLastOnly`. */
  discard(isLastOnly = false) {
    const dropped = isLastOnly ? this.failed.slice(-1) : this.failed;
    this.#pending = this.#pending.filter((each) => !dropped.includes(each));
    this.#redraw();
  }

  #send() {
    const send = async () => {
      const first = this.#pending.find(({ state }) => state === "waiting");
      if (!first) return null;
      const batch = [];
      for (const each of this.#pending) {
        if (each.state === "waiting" && each.frame === first.frame) batch.push(each);
        else if (each.state === "waiting") break;
      }
      for (const each of batch) each.state = "sending";
      const strokes = batch.map(({ stroke }) => stroke);
      try {
        const corrections = await this.post(first.frame, strokes);
        for (const each of batch) each.state = "sent";
        return corrections;
      } catch (error) {
        for (const each of batch) each.state = "failed";
        this.onChange();
        throw error;
      }
    };
    this.changes.run(send);
  }

  #redraw() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.#saved) {
      this.context.globalAlpha = SAVED; // fainter: their effect is seen in the picture
      this.context.drawImage(this.#saved, 0, 0, this.canvas.width, this.canvas.height);
      this.context.globalAlpha = 1;
    }
    for (const each of [...this.#pending, this.#current]) {
      if (each?.frame === this.#frame) draw(this.context, each.stroke);
    }
    this.onChange();
  }
}
