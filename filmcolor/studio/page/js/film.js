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
//   button       "Go to frame 134" for other corrected frames of the shot
//   checkbox     "Show strokes", "Same colours in all shots" [match-shots]
//   radio        "this shot", "whole film"
//   dialog       "Shots like this one": checkbox "Shot 5, 0:31 to 0:40", button "Apply" [alike]

import { chooseAlike } from "./alike.js";
import { api, connection } from "./api.js";
import { Changes } from "./changes.js";
import { fill, h } from "./dom.js";
import { takePictures } from "./drops.js";
import { FilmHead } from "./film-head.js";
import { FrameView } from "./frame-view.js";
import { Gestures } from "./gestures.js";
import { Keys } from "./keys.js";
import { MendPanel } from "./mend.js";
import { Player } from "./player.js";
import { ShotList } from "./shot-list.js";
import { Strip } from "./strip.js";
import { Strokes } from "./strokes.js";
import { Timeline } from "./timeline.js";
import { Viewer } from "./viewer.js";

export { KEYS } from "./keys.js";

const ASK_OFTEN = 1000; // milliseconds between two looks for news while shots are being made
const ASK_SELDOM = 2000;
const SOON = 10; // seconds that "ten seconds from here" has

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Opens the view of a film in `root`; returns {close(), refresh()}. */
export function openFilm(root, filmId, context) {
  return new FilmView(root, filmId, context);
}

class FilmView {
  #path;
  #film = null;
  #shots = new ShotList();
  #corrections = null;
  #frame = -1;
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
    document.removeEventListener("visibilitychange", this.seen);
    const parts = [this.keys, this.player, this.strip, this.timeline, this.viewer, this.frameView];
    for (const part of parts) part?.close();
  }

  /** Asks the server anew, such as after it was away. */
  refresh() {
    this.#askAgain();
    if (this.strokes?.failed.length) this.strokes.retry();
    this.frameView.update();
  }

  // ------------------------------------------------------------ building

  #build() {
    this.viewer = new Viewer();
    this.frameView = new FrameView(encodeURIComponent(this.filmId), this.viewer, {
      isBusy: () => this.changes.numPending > 0,
      isPlaying: () => this.player.isPlaying,
      onRest: (frame) => this.#fetchSwatches(frame),
      onNews: () => this.#askAgain(), // changed in another tab or program
      onError: (error) => this.context.toast(error.message, "error"),
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
    this.head = new FilmHead({ onAll: () => this.#render(), onSoon: () => this.#renderSoon() });
    this.element = h(
      "div",
      { class: "film" },
      this.head.element,
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
    takePictures(this.viewer.element, (file) => this.#usePicture(file));
    this.seen = () => document.hidden || this.#askAgain();
    document.addEventListener("visibilitychange", this.seen);
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
        this.frameView.mark();
      },
      picture: (file) => this.#usePicture(file),
      removePicture: () => {
        const frame = this.#frame;
        this.#change(() => api.del(`${path}/frames/${frame}/reference`));
      },
      go: (frame) => this.#stopAndGo(frame),
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
        view.frameView.mark();
      },
      cancel: () => view.strokes.cancel(),
      pick(x, y) {
        const color = view.viewer.colorAt(x, y);
        if (color) brush.setColor(color);
      },
    };
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
      const pause = this.#shots.isSettled(this.frameView.version) ? ASK_SELDOM : ASK_OFTEN;
      await Promise.race([wait(pause), new Promise((resolve) => (this.#askAgain = resolve))]);
    }
  }

  async #ask() {
    const { count } = this.changes;
    try {
      const [film, news] = await Promise.all([
        api.get(this.#path),
        api.get(`${this.#path}/shots?since=${this.#shots.revision}`),
      ]);
      if (this.#isClosed) return;
      // while a change is on its way, the version may be that of before
      const isVersionSure = count === this.changes.count && !this.changes.numPending;
      const isNew = isVersionSure && film.version !== this.frameView.version;
      const needsCorrections = !this.#corrections || isNew;
      const corrections = needsCorrections ? await api.get(`${this.#path}/corrections`) : null;
      if (this.#isClosed) return;
      this.#film = film;
      if (this.#shots.take(news) || !this.element.isConnected) this.#layShots();
      const isStillSure = count === this.changes.count && !this.changes.numPending;
      if (corrections && (isStillSure || !this.#corrections)) this.#corrected(corrections);
      if (!this.element.isConnected) this.#open();
    } catch (error) {
      if (error.status === 404 && this.#film) this.context.navigate(location.hash);
      else if (error.status && error.status !== 401) this.#failed(error);
    }
  }

  #layShots() {
    const { width, height, num_frames: numFrames } = this.#film;
    this.frameView.numFrames = numFrames;
    this.strip.setShots(this.#shots.all, width / height);
    this.timeline.setShots(this.#shots.all, numFrames);
    this.strip.setCurrent(this.#shot?.number ?? 0);
    if (this.#frame >= 0 && !this.player.isActive) this.#showPlace();
  }

  /** Shows the film for the first time. */
  #open() {
    const { width, height } = this.#film;
    this.head.setFilm(this.#film);
    this.viewer.setSize(width, height);
    this.strokes.setSize(width, height);
    this.mend.brush.setFrameHeight(height);
    fill(this.root, this.element);
    this.keys = new Keys(this.#keyActions());
    const stored = Number(sessionStorage.getItem(`frame of ${this.filmId}`) ?? NaN);
    const first = this.#shots.all[0]?.key_frame ?? 0;
    this.#goTo(Number.isInteger(stored) && stored < this.#film.num_frames ? stored : first);
    this.#layShots();
  }

  // ------------------------------------------------------------ the frame that is shown

  get #shot() {
    return this.#shots.at(this.#frame);
  }

  get #seconds() {
    return this.#shots.seconds(this.#frame, this.#film.frame_rate);
  }

  #stopAndGo(frame) {
    this.player.pause();
    this.#goTo(frame);
  }

  #step(frames) {
    this.#stopAndGo(this.#frame + frames);
  }

  #skip(shots) {
    const shot = this.#shots.after(this.#frame, shots);
    if (shot) this.#goToShot(shot);
  }

  #goToShot(shot) {
    this.#stopAndGo(shot.key_frame ?? shot.first);
  }

  #goTo(frame, isForced = false) {
    const last = Math.max(this.#film.num_frames - 1, 0);
    const target = Math.min(Math.max(Math.round(frame) || 0, 0), last);
    if (target === this.#frame && !isForced) return this.#showPlace();
    this.#frame = target;
    this.#stoppedAt = -1;
    sessionStorage.setItem(`frame of ${this.filmId}`, String(target));
    this.#showPlace();
    this.strip.setCurrent(this.#shot?.number ?? 0);
    this.frameView.show(target);
    this.#showCorrections();
  }

  #showPlace() {
    this.timeline.setFrame(this.#frame, this.#seconds, this.#shot);
  }

  async #fetchSwatches(frame) {
    const number = this.#shot?.number ?? 0;
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
    this.frameView.mark();
    return done;
  }

  #undo() {
    if (this.strokes.failed.length) this.strokes.discard(true);
    else if (this.#corrections?.undo || this.changes.numPending) {
      this.#change(() => api.post(`${this.#path}/undo`));
    }
  }

  #corrected(corrections) {
    if (this.#isClosed) return;
    const isNew = corrections.version !== this.frameView.version;
    this.#corrections = corrections;
    this.frameView.version = corrections.version;
    if (this.#frame < 0) return;
    this.#showCorrections();
    this.frameView.update();
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
    const shotOf = (number) => this.#shots.get(number);
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
    const settings = { rate, version: this.frameView.version };
    this.player.play(this.#frame, shot, { ...settings, isWhole: isChosen });
  }

  #played(frame, video) {
    this.viewer.setVideo(video);
    this.#frame = frame;
    this.#showPlace();
  }

  #render() {
    this.context.openRender(this.filmId, { start_seconds: this.#seconds });
  }

  #renderSoon() {
    const start = this.#seconds;
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
    this.frameView.update();
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
