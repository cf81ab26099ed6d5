// The queue: one card for each job, changed in place so that focus and a playing film stay.

import { api } from "./api.js";
import { button, commandLine, confirmDialog, copyText, fill, formatSpan, h, icon } from "./dom.js";
import { store } from "./store.js";

const STATES = {
  waiting: { text: "Waits for its turn", picture: "queue" },
  running: { text: "Running", picture: "play" },
  paused: { text: "Paused", picture: "pause" },
  done: { text: "Finished", picture: "check" },
  failed: { text: "Failed", picture: "alert" },
  stopped: { text: "Stopped", picture: "stop" },
};

export async function openQueue(root, { navigate, toast }) {
  const list = h("ol", { class: "stack", "aria-label": "Jobs" });
  const empty = h(
    "div",
    { class: "card stack" },
    h("p", {}, "Nothing is in the queue. Open a film and press “Colour the film”."),
    h("p", {}, h("a", { class: "button button-primary", href: "#/" }, "Open a film")),
  );
  empty.hidden = true;
  fill(
    root,
    h("div", { class: "screen" }, h("h1", { tabindex: "-1" }, "Queue"), empty, list),
  );
  const cards = new Map();
  const update = () => {
    const before = document.activeElement;
    for (const [id, card] of cards) {
      if (store.jobs.some((job) => job.id === id)) continue;
      card.element.remove();
      cards.delete(id);
    }
    store.jobs.forEach((job, i) => {
      if (!cards.has(job.id)) cards.set(job.id, new JobCard({ navigate, toast }));
      const card = cards.get(job.id);
      if (list.children[i] !== card.element) list.insertBefore(card.element, list.children[i] ?? null);
      card.update(job);
    });
    empty.hidden = store.jobs.length > 0 || !store.hasJobs;
    list.hidden = !store.jobs.length;
    if (before && !before.isConnected) root.querySelector("h1").focus();
  };
  store.addEventListener("jobs", update);
  if (!store.hasJobs) await store.refresh();
  update();
  store.refresh();
  return {
    refresh: () => store.refresh(),
    close: () => store.removeEventListener("jobs", update),
  };
}

class JobCard {
  #shown = ""; // what decides which buttons and parts there are

  constructor({ navigate, toast }) {
    Object.assign(this, { navigate, toast });
    this.name = h("h2", { class: "job-name" });
    this.state = h("p", { class: "job-state" });
    this.bar = h("progress", { class: "progress", max: "1" });
    this.numbers = h("p", { class: "muted small job-numbers" });
    this.body = h("div", { class: "stack" });
    this.player = h("div", { class: "player", hidden: true });
    this.buttons = h("div", { class: "row" });
    this.more = h("div");
    this.playButton = button("Play", { picture: "play", kind: "primary", onclick: () => this.#play() });
    this.element = h(
      "li",
      {},
      h(
        "article",
        { class: "card stack" },
        h("div", { class: "row row-end" }, this.name, this.state),
        this.bar,
        this.numbers,
        this.body,
        this.player,
        this.buttons,
        this.more,
      ),
    );
  }

  update(job) {
    this.job = job;
    const { state, text } = { state: job.state, ...STATES[job.state] };
    const canGoOn = ["waiting", "running", "paused"].includes(state);
    const hasProgress = (canGoOn && job.total > 0) || state === "running" || ((state === "failed" || state === "stopped") && job.done > 0);
    this.bar.hidden = this.numbers.hidden = !hasProgress;
    this.bar.setAttribute("aria-label", `Progress of ${job.film_name}`);
    this.bar.value = job.total ? job.done / job.total : 0;
    this.numbers.textContent = progressWords(job);
    const parts = [state, job.error, job.verdict, job.summary, job.output, job.notes, job.is_playable];
    const shown = JSON.stringify([parts, job.command, job.film_name]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.name.textContent = job.film_name;
    this.state.className = `job-state job-${state}`;
    fill(this.state, icon(STATES[state]?.picture), text ?? state);
    fill(this.body, this.#words());
    fill(this.more, this.#details());
    this.#updateButtons();
    if (state !== "done") this.#closePlayer();
  }

  #words() {
    const { job } = this;
    return [
      h("p", { class: "path" }, job.output),
      job.error && h("p", { class: "problem" }, icon("alert"), h("span", {}, job.error)),
      job.verdict && h("p", { class: "job-verdict" }, job.verdict),
      job.summary && h("p", { class: "muted small job-summary" }, job.summary),
      job.state === "done" &&
        !job.is_playable &&
        h("p", { class: "muted" }, "Browsers cannot play this kind of file. Open it in a video player."),
    ];
  }

  #details() {
    const { job } = this;
    const notes = job.notes ?? [];
    return [
      notes.length > 0 &&
        h(
          "details",
          {},
          h("summary", {}, `${notes.length} note${notes.length > 1 ? "s" : ""}`),
          h("ul", { class: "notes" }, notes.map((note) => h("li", {}, note))),
        ),
      h("details", {}, h("summary", {}, "The same in a terminal"), commandLine(job.command)),
    ];
  }

  #updateButtons() {
    const { job } = this;
    const label = (text) => ({ "aria-label": `${text}: ${job.film_name}` });
    const act = (text, picture, run, kind = "") =>
      button(text, { picture, kind, ...label(text), onclick: () => this.#do(run) });
    const change = (what) => () => api.post(this.#path(`/${what}`));
    const has = (...states) => states.includes(job.state);
    this.#namePlayButton();
    const hadFocus = this.buttons.contains(document.activeElement);
    fill(this.buttons, [
      has("done") && job.is_playable && this.playButton,
      has("done") && this.#link("Download", "download", this.#path("/download"), { download: true }),
      has("running", "waiting") && act("Pause", "pause", change("pause")),
      has("paused") && act("Resume", "play", change("resume"), "primary"),
      has("failed", "stopped") && act("Try again", "reset", change("resume"), "primary"),
      (has("running", "waiting", "paused") || (has("failed") && job.done > 0)) &&
        act("Stop", "stop", () => this.#stop()),
      this.#link("Show in film view", "film", `#/film/${encodeURIComponent(job.film)}`),
      has("done") && button("Copy path", { picture: "copy", ...label("Copy path"), onclick: () => copyText(job.output) }),
      has("done", "failed", "stopped") && act("Remove", "trash", () => api.del(this.#path(""))),
    ]);
    if (hadFocus) this.buttons.querySelector("button, a")?.focus();
  }

  #link(text, picture, href, props = {}) {
    const name = { "aria-label": `${text}: ${this.job.film_name}` };
    return h("a", { class: "button", href, ...name, ...props }, icon(picture), text);
  }

  #path(end) {
    return `/api/jobs/${encodeURIComponent(this.job.id)}${end}`;
  }

  async #do(run) {
    try {
      await run();
    } catch (error) {
      this.toast(error.message, "error");
    }
    await store.refresh();
  }

  async #stop() {
    const title = `Stop ${this.job.film_name}?`;
    const text = "What is finished so far is removed. Pause keeps it.";
    if (await confirmDialog(title, text, "Stop")) await api.post(this.#path("/stop"));
  }

  #play() {
    if (!this.player.hidden) return this.#closePlayer();
    const props = { controls: true, autoplay: true, playsinline: true };
    const video = h("video", { ...props, src: this.#path("/video"), preload: "metadata" });
    video.setAttribute("aria-label", `${this.job.film_name} in colour`);
    const problem = h("p", { class: "problem", role: "alert" });
    video.addEventListener("error", () => {
      fill(problem, icon("alert"), `This browser does not play the file. It is at ${this.job.output}`);
    });
    video.addEventListener("loadedmetadata", () => video.scrollIntoView({ block: "nearest" }));
    fill(this.player, video, problem);
    this.player.hidden = false;
    this.#namePlayButton();
    video.focus();
    video.scrollIntoView({ block: "nearest" });
  }

  #closePlayer() {
    fill(this.player);
    this.player.hidden = true;
    this.#namePlayButton();
  }

  #namePlayButton() {
    const name = this.player.hidden ? "Play" : "Close the player";
    fill(this.playButton, icon(this.player.hidden ? "play" : "close"), name);
    this.playButton.setAttribute("aria-label", `${name}: ${this.job.film_name}`);
  }
}

function progressWords({ state, done, total, frames_per_second: rate, seconds_left: left }) {
  if (!total) return state === "running" ? "Begins …" : "";
  const percent = `${Math.floor((100 * done) / total)} %`;
  const parts = [percent, `${done.toLocaleString("en")} of ${total.toLocaleString("en")} frames`];
  if (state === "running") {
    if (rate) parts.push(`${rate < 10 ? rate.toFixed(1) : Math.round(rate)} frames a second`);
    if (left !== null && left !== undefined) parts.push(`about ${formatSpan(left)} left`);
    if (done >= total) return "All frames are coloured. Checking the file …";
  }
  return parts.join(" · ");
}
