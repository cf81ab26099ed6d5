// One photograph: the large picture with its divider, strokes and sliders, as in the film's view.

import { api } from "./api.js";
import { Brush } from "./brush.js";
import { Changes } from "./changes.js";
import { commandLine, fill, h, icon, iconButton } from "./dom.js";
import { Gestures } from "./gestures.js";
import { Grade } from "./grade.js";
import { Keys } from "./keys.js";
import { imagePath, photoPath, removePhoto } from "./photos.js";
import { Strokes } from "./strokes.js";
import { Viewer } from "./viewer.js";

const SIZE = 2048; // pixels, long side of what is shown
const POLL_MS = 4000; // other tabs change photographs, too

/** Strokes of a photograph: drawn on what is shown, sent in the photograph's own pixels. */
class PhotoStrokes extends Strokes {
  scale = 1;

  path() {
    return photoPath(this.filmId, "/strokes");
  }

  post(_, strokes) {
    const enlarge = ({ color, width, points }) => ({
      color,
      width: width * this.scale,
      points: points.map(([x, y, pressure]) => [x * this.scale, y * this.scale, pressure]),
    });
    return api.post(this.path(), { strokes: strokes.map(enlarge) });
  }
}

export async function openPhoto(root, id, context) {
  const { photos } = await api.get("/api/photos");
  const photo = photos.find((each) => each.id === id);
  if (!photo) throw new Error("This photograph is not in the studio any more. Drop it again.");
  const desk = new PhotoScreen(root, photo, context);
  await desk.start();
  return desk;
}

class PhotoScreen {
  #grey = null;
  #color = null;
  #shown = ""; // version of the coloured picture
  #wanted = "";
  #abort = new AbortController();

  constructor(root, photo, { navigate, toast }) {
    Object.assign(this, { photo, toast, navigate });
    this.changes = new Changes((changed) => this.#update(changed), (error) => this.#fail(error));
    this.viewer = new Viewer();
    this.viewer.canvas.setAttribute("aria-label", "The photograph, grey left and in colour right of the divider");
    this.strokes = new PhotoStrokes(photo.id, this.changes, () => this.#drawStrokes());
    const act = (what) => () => this.changes.run(() => api.post(photoPath(photo.id, `/${what}`)));
    this.actions = {
      undo: () => this.#undo(act("undo")),
      redo: act("redo"),
      clear: () => this.changes.run(() => api.del(photoPath(photo.id, "/strokes"))),
      strokes: () => this.#drawStrokes(),
      retry: () => this.strokes.retry(),
      discard: () => this.strokes.discard(),
    };
    this.brush = new Brush(this.actions, () => this.gestures?.update());
    this.brush.clear.lastChild.textContent = "Clear strokes";
    this.brush.clear.title = "Remove all strokes from this photograph";
    this.grade = new Grade((name, _, grade) =>
      this.changes.latest(`grade ${name}`, () => api.put(photoPath(photo.id, "/grade"), grade)),
    );
    this.command = commandLine(photo.command, "The same in a terminal");
    this.problem = h("p", { class: "problem", role: "alert" });
    this.#build(root);
    this.gestures = new Gestures(this.viewer, this.#painter());
    this.keys = new Keys(this.#keyActions());
  }

  #build(root) {
    const { name, id } = this.photo;
    const download = {
      class: "button button-primary",
      href: photoPath(id, "/download"),
      download: true,
      "aria-label": "Download", // the word is not shown on a phone
      title: "Download",
    };
    this.toggle = h("button", { type: "button", class: "button photo-toggle" }, icon("brush"), "Mend");
    this.toggle.addEventListener("click", () => this.#openPanel(!this.panel.classList.contains("is-open")));
    this.panel = h(
      "aside",
      { class: "photo-panel", "aria-label": "Mend", id: "photo-panel" },
      this.brush.element,
      this.grade.element,
      h("section", { class: "mend-part" }, h("h2", {}, "In a terminal"), this.command),
    );
    this.toggle.setAttribute("aria-controls", this.panel.id);
    const remove = iconButton(`Remove ${name}`, "trash", { title: "Remove", onclick: () => this.#remove() });
    fill(
      root,
      h(
        "div",
        { class: "photo-screen" },
        h(
          "div",
          { class: "photo-head" },
          h("a", { class: "icon-button", href: "#/photos", "aria-label": "All photographs", title: "All photographs" }, icon("back")),
          h("h1", { tabindex: "-1", class: "photo-title", title: name }, name),
          this.toggle,
          h("a", download, icon("download"), h("span", { class: "label" }, "Download")),
          remove,
        ),
        this.problem,
        h("div", { class: "photo-stage" }, this.viewer.element),
        this.panel,
      ),
    );
    this.#openPanel(false);
  }

  #openPanel(isOpen) {
    this.panel.classList.toggle("is-open", isOpen);
    this.toggle.setAttribute("aria-expanded", String(isOpen));
    this.viewer.draw();
  }

  async start() {
    const { width, height } = this.photo;
    const scale = Math.max(1, Math.max(width, height) / SIZE);
    const size = [Math.round(width / scale), Math.round(height / scale)];
    this.strokes.scale = width / size[0];
    this.viewer.setSize(...size);
    this.strokes.setSize(...size);
    this.viewer.strokes = this.strokes.canvas;
    this.brush.setFrameHeight(size[1]);
    this.poll = setInterval(() => this.refresh(), POLL_MS);
    this.#update(this.photo);
    try {
      this.#grey = await this.#load("grey");
      this.#show();
      this.brush.setSwatches(await api.get(photoPath(this.photo.id, "/swatches")));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Looks whether another tab, or a restart, changed the photograph. */
  async refresh() {
    if (this.changes.numPending || this.strokes.isDrawing || document.hidden) return;
    const { count } = this.changes;
    try {
      const { photos } = await api.get("/api/photos");
      const photo = photos.find((each) => each.id === this.photo.id);
      if (!photo) return void (this.poll && this.navigate("#/photos"));
      if (count === this.changes.count && this.poll) this.#update(photo);
    } catch {
      // the banner shows that the studio does not answer
    }
  }

  close() {
    clearInterval(this.poll);
    this.poll = 0;
    this.grade.flush();
    this.keys.close();
    this.viewer.close();
    this.#abort.abort();
    for (const bitmap of [this.#grey, this.#color]) bitmap?.close();
  }

  #update(photo) {
    this.photo = photo;
    const numFailed = this.strokes.failed.length;
    this.brush.update({ ...photo, hasStrokes: photo.has_strokes, numFailed });
    const corrections = { film_grade: photo.grade, grades: [] };
    this.grade.update(corrections, null, this.changes.numPending > 1);
    this.command.setText(photo.command);
    fill(this.problem, photo.error && [icon("alert"), h("span", {}, photo.error)]);
    this.strokes.show(0, photo.has_strokes, photo.version);
    this.#recolor(photo.version);
  }

  /** Fetches the coloured picture of a version, then of the newest one meanwhile. */
  async #recolor(version) {
    const isBusy = this.#wanted !== "";
    this.#wanted = version === this.#shown ? "" : version;
    if (isBusy || !this.#wanted) return;
    this.viewer.setMark("Colouring …");
    try {
      while (this.#wanted && this.#wanted !== this.#shown) {
        const wanted = this.#wanted;
        const bitmap = await this.#load("color");
        this.#color?.close();
        this.#color = bitmap;
        this.#shown = wanted;
        this.#show();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#wanted = "";
    if (this.poll) this.viewer.setMark("");
  }

  async #load(side) {
    const options = { signal: this.#abort.signal };
    const response = await fetch(imagePath(this.photo, side, SIZE), options);
    if (!response.ok) {
      const { error } = await response.json().catch(() => ({}));
      throw new Error(error ?? `The studio answered ${response.status}.`);
    }
    return createImageBitmap(await response.blob());
  }

  #show() {
    if (this.#grey) this.viewer.setFrame(this.#grey, this.#color, this.#color ? "" : "Colouring …");
  }

  #drawStrokes() {
    this.viewer.areStrokesShown = this.brush?.shown.checked ?? true;
    this.viewer.failedStrokes = this.strokes?.failed.map(({ stroke }) => stroke) ?? [];
    this.viewer.draw();
    if (this.brush && this.strokes) {
      const { undo, redo, has_strokes: hasStrokes } = this.photo;
      this.brush.update({ undo, redo, hasStrokes, numFailed: this.strokes.failed.length });
    }
  }

  #fail(error) {
    if (error.name === "AbortError") return;
    this.toast(error.message, "error");
  }

  #undo(undo) {
    if (this.strokes.failed.length) this.strokes.discard(true);
    else undo();
  }

  async #remove() {
    if (await removePhoto(this.photo, this.toast)) this.navigate("#/photos");
  }

  #painter() {
    const { brush, strokes, viewer } = this;
    return {
      get tool() {
        return brush.tool;
      },
      get radius() {
        return brush.width / 2;
      },
      get color() {
        return brush.color;
      },
      begin() {
        strokes.begin(0, brush.color, brush.width);
        return true;
      },
      add: (x, y, pressure) => strokes.add(x, y, pressure),
      end: () => strokes.end(),
      cancel: () => strokes.cancel(),
      pick(x, y) {
        const color = viewer.colorAt(x, y);
        if (color) brush.setColor(color);
      },
    };
  }

  #keyActions() {
    const { viewer, brush } = this;
    const nothing = () => {};
    return {
      ...this.actions,
      hold: (isDown) => {
        this.gestures.isSpaceDown = isDown;
      },
      step: nothing,
      skip: nothing,
      divide: () => viewer.toggleDivider(),
      zoom: (factor) => (factor ? viewer.zoomBy(factor) : viewer.fit()),
      tool: (name) => brush.setTool(name),
      size: (steps) => brush.resize(steps),
      strokes: () => brush.shown.click(),
      loop: nothing,
      play: nothing,
      mute: nothing,
    };
  }
}
