// What all screens watch: the films that are open, and the queue. The server has the truth; other
// tabs and terminals change it too, so it is asked again and again.

import { api, connection } from "./api.js";

const BUSY_MS = 1000; // between two looks while something runs
const IDLE_MS = 5000;

/** Whether a job waits for its end without anyone's doing. */
export const isActive = ({ state }) => state === "running" || state === "waiting";

/** Dispatches "films" and "jobs" when they changed, and "ended" with a job in `detail`. */
class Store extends EventTarget {
  films = [];
  jobs = [];
  hasFilms = false; // whether the server was asked yet
  hasJobs = false;
  #timer = 0;
  #round = 0;

  watch() {
    connection.addEventListener("change", () => {
      if (connection.state === "here") this.refresh();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.refresh();
    });
    return this.refresh();
  }

  /** Asks the server now; resolves when both lists are new. */
  async refresh() {
    const round = ++this.#round;
    clearTimeout(this.#timer);
    await Promise.allSettled([this.#fetchFilms(round), this.#fetchJobs(round)]);
    if (round !== this.#round) return;
    const isBusy = this.jobs.some(isActive) || this.films.some(({ state }) => state === "opening");
    this.#timer = setTimeout(() => this.refresh(), isBusy ? BUSY_MS : IDLE_MS);
  }

  async #fetchFilms(round) {
    const { films } = await api.get("/api/films");
    if (round !== this.#round) return;
    this.hasFilms = true;
    this.films = films;
    this.dispatchEvent(new Event("films"));
  }

  async #fetchJobs(round) {
    const { jobs } = await api.get("/api/jobs");
    if (round !== this.#round) return;
    const before = new Map(this.jobs.map((job) => [job.id, job.state]));
    const ended = jobs.filter(
      ({ id, state }) => ["done", "failed"].includes(state) && (before.get(id) ?? state) !== state,
    );
    this.hasJobs = true;
    this.jobs = jobs;
    this.dispatchEvent(new Event("jobs"));
    for (const job of ended) this.dispatchEvent(new CustomEvent("ended", { detail: job }));
  }
}

export const store = new Store();
