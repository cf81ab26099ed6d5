// The view of a film: look, find the wrong colours, mend them, go on.
//
// Names that tests rely on (role "name", [data-testid]):
//   heading      the film's name
//   button       "Colour the film…", "Ten seconds from here…"
//   img          "The frame, grey left and in colour right of the divider" [picture]
//   slider       "Divider between grey and colour" [divider]: percent grey; "Frame in the shot"
//                [scrub], "Position in the film" [whole], "Brush size" [brush-size],
//                "Saturation", "Warmth", "Skin protection" [grade-saturation, …]
//   [coloring]   visible while the colours of the frame are on their way
//   spinbutton   "Frame number", "Saturation, number", "Warmth, number", "Skin protection, number"
//   listbox      "Shots" [strip] with option "Shot 3, 0:12 to 0:17, corrected"
//   button       "Play this shot" or "Pause" [play], "Repeat", "Mute", "Previous shot",
//                "Previous frame", "Next frame", "Next shot", "Do not play"; [clip-progress], [clip]
//   region       "Paint", "Colours", "Picture", "Other shots", "In a terminal" in complementary
//                "Mend"; on narrow screens button "Mend" [mend-toggle] unfolds it
//   button       "Whole picture" while it is enlarged
//   button       "Look", "Brush", "Grey brush", "Eraser", "Take a colour from the picture"
//                [tool-look, tool-brush, tool-grey, tool-eraser, tool-picker]
//   [color]      the colour field "Colour to paint with"
//   group        "This film", "Skin", "Sky", "Foliage" [swatches]: button "Skin 1, #e8c4ac"
//   button       "Undo" [undo], "Redo" [redo], "Clear this frame", "Use a picture…"
//                [picture-input: its file field], "Remove it", "Reset saturation", …,
//                "Shots like this one…"; "Try again" [retry-strokes], "Discard" [discard-strokes]
//   checkbox     "Show strokes", "Same colours in all shots" [match-shots]
//   radio        "this shot", "whole film"
//   dialog       "Shots like this one": checkbox "Shot 5, 0:31 to 0:40", button "Apply" [alike]

import { chooseAlike } from "./alike.js";
import { api, connection } from "./api.js";
import { Changes } from "./changes.js";
import { announce, button, fill, h, icon } from "./dom.js";
import { Frames } from "./frames.js";
import { Gestures } from "./gestures.js";
import { Keys } from "./keys.js";
import { MendPanel } from "./mend.js";
import { Player } from "./player.js";
import { Strip } from "./strip.js";
import { Strokes } from "./strokes.js";
import { Timeline } from "./timeline.js";
import { Viewer } from "./viewer.js";

export { KEYS } from "./keys.js";

const ASK_OFTEN = 1000; // milliseconds between two looks for news while shots are being made
const ASK_SELDOM = 2000;
const PATIENCE = 150; // milliseconds for which the frame before stays, instead of a grey one
const REST = 350; // milliseconds without a change after which what comes next is prepared
const SOON = 10; // seconds that "ten seconds from here" has

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Opens the view of a film in `root`; returns {close(), refresh()}. */
export function openFilm(root, filmId, context) {
  return new FilmView(root, filmId, context);
}

class FilmView {
  #path;
  #film = null;
  #shots = [];
  #revision = 0;
  #isComplete = false;
  #corrections = null;
  #frame = -1;
  #wantedAt = 0;
  #stoppedAt = -1; // where playing was paused
  #isClosed = false;
  #timers = {};
  #swatchesOf = null;
  #askAgain = () => {};

  constructor(root, filmId, context) {
    Object.assign(this, { root, filmId, context });
    this.#path = `/api/films/${encodeURIComponent(filmId)}`;
    this.#build();
    fill(root, h("p", { class: "film-opening muted", role: "status" }, "Opening the film…"));
    this.#start();
  }

  close() {
    this.#isClosed = true;
    this.#askAgain();
    Object.values(this.#timers).forEach(clearTimeout);
    const parts = [this.keys, this.player, this.strip, this.timeline, this.viewer, this.frames];
    for (const part of parts) part?.close();
  }

  /** Asks the server anew, such as after it was away. */
  refresh() {
    this.#askAgain();
    if (this.strokes?.failed.length) this.strokes.retry();
    if (this.#film && this.#frame >= 0) this.#show();
  }

  // ------------------------------------------------------------ building

  #build() {
    this.viewer = new Viewer();
    this.frames = new Frames(encodeURIComponent(this.filmId), {
      onArrive: (frame, side, version) => this.#arrived(frame, side, version),
      onError: (error, frame) => this.#frameFailed(error, frame),
      keep: (bitmap) => this.viewer.shows(bitmap),
    });
    this.changes = new Changes(
      (corrections) => this.#corrected(corrections),
      (error) => this.#failed(error),
    );
    this.strokes = new Strokes(encodeURIComponent(this.filmId), this.changes, () => this.#strokesChanged());
    this.viewer.strokes = this.strokes.canvas;
    this.mend = new MendPanel(this.#mendActions());
    this.gestures = new Gestures(this.viewer, this.#painter());
    this.strip = new Strip(encodeURIComponent(this.filmId), {
      onSelect: (shot) => this.#goToShot(shot),
      onVisible: (shots) => this.#quietly(() => api.post(`${this.#path}/visible`, { shots })),
    });
    this.timeline = new Timeline({
      go: (frame) => this.#stopAndGo(frame),
      step: (frames) => this.#step(frames),
      skip: (shots) => this.#skip(shots),
      play: () => this.#play(),
      cancel: () => this.player.pause(),
      loop: (isOn) => (this.player.isLooping = isOn),
      mute: (isOn) => (this.player.video.muted = isOn),
    });
    this.player = new Player(encodeURIComponent(this.filmId), {
      onState: ({ isPlaying, wait }) => this.timeline.setPlaying(isPlaying, wait),
      onFrame: (frame, video) => this.#played(frame, video),
      onStop: (frame) => {
        this.#goTo(frame, true);
        this.#stoppedAt = frame;
      },
      onError: (error) => this.#failed(error),
    });
    this.title = h("h1", { class: "film-name", tabindex: "-1" });
    this.facts = h("p", { class: "film-facts muted" });
    this.notes = h("details", { class: "film-notes", hidden: true });
    const soon = button("Ten seconds from here…", {
      picture: "play",
      title: "Colour ten seconds from this frame into a film, to try it out",
    });
    soon.addEventListener("click", () => this.#renderSoon());
    const all = button("Colour the film…", { kind: "primary", picture: "film" });
    all.addEventListener("click", () => this.#render());
    this.element = h(
      "div",
      { class: "film" },
      h(
        "header",
        { class: "film-head" },
        h("div", { class: "film-title" }, this.title, this.facts),
        this.notes,
        h("div", { class: "film-actions" }, soon, all),
      ),
      h(
        "div",
        { class: "film-main" },
        this.viewer.element,
        this.timeline.element,
        this.strip.element,
        this.player.element,
      ),
      this.mend.element,
    );
    this.#takePictures();
  }

  #mendActions() {
    const path = this.#path;
    return {
      undo: () => this.#undo(),
      redo: () => this.#change(() => api.post(`${path}/redo`)),
      clear: () => {
        const frame = this.#frame;
        this.#change(() => api.del(`${path}/frames/${frame}/strokes`));
      },
      strokes: () => {
        this.viewer.areStrokesShown = this.mend.brush.shown.checked;
        this.viewer.draw();
      },
      retry: () => this.strokes.retry(),
      discard: () => this.strokes.discard(),
      brush: () => this.gestures?.update(),
      grade: (name, shots, grade) => {
        const key = `${name} ${shots}`;
        this.changes.latest(key, () => api.put(`${path}/grades`, { shots, grade }));
        this.#showMark();
      },
      picture: (file) => this.#usePicture(file),
      removePicture: () => {
        const frame = this.#frame;
        this.#change(() => api.del(`${path}/frames/${frame}/reference`));
      },
      alike: () => this.#alike(),
      match: (isOn) => this.#change(() => api.put(`${path}/options`, { match_shots: isOn })),
    };
  }

  #painter() {
    const view = this;
    const { brush } = this.mend;
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
        if (!view.#corrections || view.#frame < 0) return false;
        view.player.pause();
        if (!brush.shown.checked) brush.shown.click();
        view.strokes.begin(view.#frame, brush.color, brush.width);
        return true;
      },
      add: (x, y, pressure) => view.strokes.add(x, y, pressure),
      end() {
        const stroke = view.strokes.end();
        if (stroke) view.#uncover(stroke);
        view.#showMark();
      },
      cancel: () => view.strokes.cancel(),
      pick(x, y) {
        const color = view.viewer.colorAt(x, y);
        if (color) brush.setColor(color);
      },
    };
  }

  #takePictures() {
    const { element } = this.viewer;
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    for (const type of ["dragenter", "dragover"]) {
      element.addEventListener(type, (event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        element.classList.add("is-target");
      });
    }
    element.addEventListener("dragleave", (event) => {
      if (!element.contains(event.relatedTarget)) element.classList.remove("is-target");
    });
    element.addEventListener("drop", (event) => {
      element.classList.remove("is-target");
      const file = [...(event.dataTransfer?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (!file) return; // a film: the page opens it
      event.preventDefault();
      this.#usePicture(file);
    });
  }

  // ------------------------------------------------------------ news from the server

  async #start() {
    while (!this.#isClosed) {
      try {
        const film = await api.get(this.#path);
        if (film.state === "failed") return this.#showFailure(film.error);
        if (film.state === "ready") break;
      } catch (error) {
        if (error.status) return this.#showFailure(error.message);
      }
      await wait(300);
    }
    await this.#watch();
  }

  #showFailure(text) {
    if (this.#isClosed) return;
    const back = h("a", { class: "button button-primary", href: "#/" }, "Open another film");
    const lines = [h("h1", { tabindex: "-1" }, "This film cannot be opened"), h("p", {}, text)];
    fill(this.root, h("div", { class: "screen", role: "alert" }, lines, h("p", {}, back)));
  }

  async #watch() {
    while (!this.#isClosed) {
      if (!document.hidden && connection.state !== "locked") await this.#ask();
      const isWaiting = !this.#isComplete || this.#shots.some(({ thumbnail }) => !thumbnail.color);
      const isStale = this.#shots.some(({ thumbnail }) => thumbnail.color !== this.frames.version);
      const pause = isWaiting || isStale ? ASK_OFTEN : ASK_SELDOM;
      await Promise.race([wait(pause), new Promise((resolve) => (this.#askAgain = resolve))]);
    }
  }

  async #ask() {
    const { count } = this.changes;
    try {
      const [film, news] = await Promise.all([
        api.get(this.#path),
        api.get(`${this.#path}/shots?since=${this.#revision}`),
      ]);
      if (this.#isClosed) return;
      // while a change is on its way, the version may be that of before
      const isVersionSure = count === this.changes.count && !this.changes.numPending;
      const isNew = isVersionSure && film.version !== this.frames.version;
      const needsCorrections = !this.#corrections || isNew;
      const corrections = needsCorrections ? await api.get(`${this.#path}/corrections`) : null;
      if (this.#isClosed) return;
      this.#film = film;
      this.#takeShots(news);
      const isStillSure = count === this.changes.count && !this.changes.numPending;
      if (corrections && (isStillSure || !this.#corrections)) this.#corrected(corrections);
      if (!this.element.isConnected) this.#open();
    } catch (error) {
      if (error.status === 404 && this.#film) this.context.navigate(location.hash);
      else if (error.status && error.status !== 401) this.#failed(error);
    }
  }

  #takeShots({ revision, is_complete: isComplete, shots }) {
    this.#revision = revision;
    this.#isComplete = isComplete;
    if (!shots.length && this.#shots.length) return;
    const known = new Map(this.#shots.map((shot) => [shot.number, shot]));
    for (const shot of shots) known.set(shot.number, shot);
    this.#shots = [...known.values()].sort((a, b) => a.number - b.number);
    this.#layShots();
  }

  #layShots() {
    const { width, height, num_frames: numFrames } = this.#film;
    this.strip.setShots(this.#shots, width / height);
    this.timeline.setShots(this.#shots, numFrames);
    this.strip.setCurrent(this.#shot?.number ?? 0);
    if (this.#frame >= 0 && !this.player.isActive) this.#showPlace();
  }

  /** Shows the film for the first time. */
  #open() {
    const { name, facts, notes, width, height } = this.#film;
    this.title.textContent = this.title.title = name;
    this.facts.textContent = this.facts.title = facts.join(" · ");
    this.notes.hidden = !notes.length;
    fill(
      this.notes,
      h("summary", {}, icon("alert"), `${notes.length} ${notes.length === 1 ? "note" : "notes"}`),
      h("ul", {}, notes.map((line) => h("li", {}, line))),
    );
    this.viewer.setSize(width, height);
    this.strokes.setSize(width, height);
    this.mend.brush.setFrameHeight(height);
    fill(this.root, this.element);
    this.keys = new Keys(this.#keyActions());
    const stored = Number(sessionStorage.getItem(`frame of ${this.filmId}`) ?? NaN);
    const first = this.#shots[0]?.key_frame ?? 0;
    this.#goTo(Number.isInteger(stored) && stored < this.#film.num_frames ? stored : first);
    this.#layShots();
  }

  // ------------------------------------------------------------ the frame that is shown

  get #shot() {
    return this.#shotAt(this.#frame);
  }

  #shotAt(frame) {
    let [low, high] = [0, this.#shots.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const shot = this.#shots[middle];
      if (frame < shot.first) high = middle - 1;
      else if (frame >= shot.stop) low = middle + 1;
      else return shot;
    }
    return null;
  }

  #seconds(frame) {
    const shot = this.#shotAt(frame);
    if (!shot) return frame / this.#film.frame_rate;
    const share = (frame - shot.first) / (shot.stop - shot.first);
    return shot.start_seconds + share * (shot.end_seconds - shot.start_seconds);
  }

  #stopAndGo(frame) {
    this.player.pause();
    this.#goTo(frame);
  }

  #step(frames) {
    this.#stopAndGo(this.#frame + frames);
  }

  #skip(shots) {
    const index = this.#shots.indexOf(this.#shot);
    if (index < 0) return;
    const shot = this.#shots[Math.min(Math.max(index + shots, 0), this.#shots.length - 1)];
    this.#goToShot(shot);
  }

  #goToShot(shot) {
    this.#stopAndGo(shot.key_frame ?? shot.first);
  }

  #goTo(frame, isForced = false) {
    const last = Math.max(this.#film.num_frames - 1, 0);
    const target = Math.min(Math.max(Math.round(frame) || 0, 0), last);
    if (target === this.#frame && !isForced) return this.#showPlace();
    const isForward = target >= this.#frame;
    this.#frame = target;
    this.#stoppedAt = -1;
    this.#wantedAt = performance.now();
    sessionStorage.setItem(`frame of ${this.filmId}`, String(target));
    this.#showPlace();
    this.strip.setCurrent(this.#shot?.number ?? 0);
    this.#show();
    this.#showCorrections();
    this.#later("prepare", REST, () => this.#prepare(isForward));
  }

  #showPlace() {
    this.timeline.setFrame(this.#frame, this.#seconds(this.#frame), this.#shot);
  }

  /** Shows what is there of the frame, and asks for the rest. */
  #show() {
    if (this.player.isPlaying) return; // the clip is shown
    const grey = this.frames.peek(this.#frame, "grey");
    const color = this.frames.peek(this.#frame, "color");
    this.frames.want(this.#frame);
    clearTimeout(this.#timers.patience);
    const left = PATIENCE - (performance.now() - this.#wantedAt);
    if (color && (grey || (color.isCurrent && left <= 0))) {
      const mark = color.isCurrent && !this.#isRecoloring ? "" : "colouring anew…";
      this.viewer.setFrame(grey?.bitmap ?? color.bitmap, color.bitmap, mark);
    } else if (left > 0) this.#later("patience", left, () => this.#show());
    else if (grey) this.viewer.setFrame(grey.bitmap, null, "colouring…");
    else this.viewer.setMark("loading…");
  }

  get #isRecoloring() {
    return this.changes.numPending > 0;
  }

  #showMark() {
    if (this.#isRecoloring) this.viewer.setMark("colouring anew…");
  }

  #arrived(frame, side, version) {
    if (version !== this.frames.version && side === "color" && !this.changes.numPending) {
      this.#askAgain(); // changed in another tab or program
    }
    if (frame !== this.#frame) return;
    this.#show();
    if (side === "grey") return;
    if (performance.now() - this.#wantedAt > 1500) announce(`Frame ${frame} in colour`);
    this.#later("prepare", REST, () => this.#prepare(true));
  }

  #frameFailed(error, frame) {
    if (frame !== this.#frame) return;
    this.viewer.setMark("not shown");
    this.context.toast(error.message, "error");
  }

  /** Fetches what is likely to be wanted next, once the frame itself is there. */
  #prepare(isForward) {
    if (!this.frames.peek(this.#frame, "color")?.isCurrent || this.player.isActive) return;
    const last = this.#film.num_frames - 1;
    const steps = isForward ? [1, -1, 2, 3] : [-1, 1, -2, -3];
    const frames = steps.map((step) => this.#frame + step).filter((n) => n >= 0 && n <= last);
    this.frames.prepare(frames);
    this.#fetchSwatches();
  }

  async #fetchSwatches() {
    const number = this.#shot?.number ?? 0;
    const frame = this.#frame;
    if (this.#swatchesOf === number) return;
    this.#swatchesOf = number;
    await this.#quietly(async () => {
      const swatches = await api.get(`${this.#path}/frames/${frame}/swatches`);
      this.mend.brush.setSwatches(swatches);
    });
  }

  // ------------------------------------------------------------ corrections

  #change(send) {
    this.mend.grade.flush();
    const done = this.changes.run(send);
    this.#showMark();
    return done;
  }

  #undo() {
    if (this.strokes.failed.length) this.strokes.discard(true);
    else this.#change(() => api.post(`${this.#path}/undo`));
  }

  #corrected(corrections) {
    if (this.#isClosed) return;
    const isNew = corrections.version !== this.frames.version;
    this.#corrections = corrections;
    this.frames.version = corrections.version;
    if (this.#frame < 0) return;
    if (isNew) this.#wantedAt = performance.now();
    this.#showCorrections();
    this.#show();
    if (isNew) this.#askAgain();
  }

  #showCorrections() {
    const corrections = this.#corrections;
    if (!corrections || this.#frame < 0) return;
    const isBusy = this.changes.numPending > 0;
    const numFailed = this.strokes.failed.length;
    this.mend.update(corrections, this.#shot, this.#frame, { isBusy, numFailed });
    const hasStrokes = corrections.strokes.includes(this.#frame);
    this.strokes.show(this.#frame, hasStrokes, corrections.version);
  }

  #strokesChanged() {
    if (!this.strokes) return;
    const { failed } = this.strokes;
    const here = failed.filter(({ frame }) => frame === this.#frame);
    this.viewer.failedStrokes = here.map(({ stroke }) => stroke);
    this.viewer.draw();
    if (!this.strokes.isDrawing) this.#later("strokes", 0, () => this.#showCorrections());
  }

  /** Moves the divider away if a stroke lies on the grey side: its effect is on the other. */
  #uncover({ points }) {
    const box = this.viewer.canvas.getBoundingClientRect();
    const isGrey = ([x]) => {
      const [left] = this.viewer.toFrame(box.left, box.top);
      return this.viewer.toDivider(box.left + (x - left) * this.viewer.scale) < this.viewer.divider;
    };
    if (points.filter(isGrey).length > points.length / 2) this.viewer.divider = 0;
  }

  async #usePicture(file) {
    const frame = this.#frame;
    const path = `${this.#path}/frames/${frame}/reference`;
    const corrections = await this.#change(() => api.bytes("PUT", path, file));
    if (corrections) this.context.toast(`Frame ${frame} takes its colours from ${file.name}.`, "good");
  }

  async #alike() {
    const shot = this.#shot;
    if (!shot) return;
    const shotOf = (number) => this.#shots.find((each) => each.number === number);
    const chosen = await chooseAlike(encodeURIComponent(this.filmId), shot, shotOf);
    if (!chosen) return;
    const path = `${this.#path}/shots/${shot.number}/apply`;
    const corrections = await this.#change(() => api.post(path, chosen));
    const { length } = chosen.shots;
    const shots = length === 1 ? "One shot has" : `${length} shots have`;
    if (corrections) this.context.toast(`${shots} the colours of shot ${shot.number}.`, "good");
  }

  // ------------------------------------------------------------ playing and rendering

  #play() {
    if (this.player.isActive) return this.player.pause();
    const shot = this.#shot ?? { first: this.#frame, stop: this.#film.num_frames };
    // a shot that was chosen, and not scrubbed, plays from its beginning
    const isChosen = this.#frame === shot.key_frame && this.#frame !== this.#stoppedAt;
    const { frame_rate: rate } = this.#film;
    const settings = { rate, version: this.frames.version };
    this.player.play(this.#frame, shot, { ...settings, isWhole: isChosen });
  }

  #played(frame, video) {
    this.viewer.setVideo(video);
    this.#frame = frame;
    this.#showPlace();
  }

  #render() {
    this.context.openRender(this.filmId, { start_seconds: this.#seconds(this.#frame) });
  }

  #renderSoon() {
    const start = this.#seconds(this.#frame); // in seconds of the film
    const end = Math.min(start + SOON, this.#film.duration_seconds);
    const range = { start_seconds: start, end_seconds: end };
    this.context.openRender(this.filmId, range);
  }

  // ------------------------------------------------------------ keys and small things

  #keyActions() {
    const { brush } = this.mend;
    return {
      play: () => this.#play(),
      hold: (isDown) => {
        this.gestures.isSpaceDown = isDown;
        return this.gestures.hasPanned;
      },
      step: (frames) => this.#step(frames),
      skip: (shots) => this.#skip(shots),
      tool: (tool) => brush.setTool(tool),
      divide: () => this.viewer.toggleDivider(),
      zoom: (factor) => {
        if (factor) this.viewer.zoomBy(factor);
        else this.viewer.fit();
        this.gestures.update();
      },
      size: (steps) => brush.resize(steps),
      undo: () => this.#undo(),
      redo: () => brush.redo.disabled || brush.redo.click(),
      strokes: () => brush.shown.click(),
      loop: () => this.timeline.loop.click(),
      mute: () => this.timeline.mute.click(),
    };
  }

  #later(name, milliseconds, action) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(() => this.#isClosed || action(), milliseconds);
  }

  #failed(error) {
    if (this.#isClosed || error.name === "AbortError") return;
    if (error.status !== 0) this.context.toast(error.message, "error"); // 0: the line at the top
    this.#show();
    this.#showCorrections();
  }

  /** For what nobody waits for: if it fails, the next look brings it. */
  async #quietly(action) {
    try {
      await action();
    } catch (error) {
      if (error.status === undefined && error.name !== "AbortError") console.error(error);
    }
  }
}
