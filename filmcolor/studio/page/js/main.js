// Starts the page: the header, the screens of the address (#/, #/film/ID, #/queue, #/photos,
// #/photo/ID), and what is the same on all of them.
//
// Names that tests rely on (role "name"):
//   banner       link "filmcolor: open a film", navigation "Films" with a link for each film and
//                button "Close NAME", navigation "Studio": link "Open a film",
//                link "Photographs", link "Queue" ("Queue: 2 jobs"), button "Help"
//   #/           heading "Open a film", textbox "Path of a film", button "Open",
//                list "Films and folders" with a button for each, list "Recent films",
//                button "Choose files", list "Files on their way"
//   dialog       "Colour NAME": radio for each purpose ("To watch and share – share …"), radio
//                "Whole film", "10 seconds from 0:12", "A part", textbox "From", "To", "Save as",
//                checkbox "Replace the file that is there", button "Start"
//   #/queue      heading "Queue", list "Jobs", in each: progressbar "Progress of NAME", button
//                "Pause", "Resume", "Try again", "Stop", "Remove", "Play", link "Download",
//                link "Show in film view"
//   #/photos     heading "Photographs", button "Choose photographs", link NAME for each
//   #/photo/ID   heading NAME, link "Download", button "Undo", "Redo", "Remove"
//   dialog       "Help", button "Close"
// The line at the top ("The studio has stopped. …") and failures have the role alert.

import { api, connection } from "./api.js";
import { announce, fill, h, toast } from "./dom.js";
import { buildHeader, updateHeader } from "./header.js";
import { openHelp } from "./help.js";
import { openRender } from "./render.js";
import { store } from "./store.js";
import { uploads } from "./uploads.js";

const main = document.getElementById("main");
const context = { navigate, toast, openRender: render };
let current = null; // what the screen's module returned
let numShown = 0;
let screenTitle = "";

function navigate(hash) {
  if (location.hash === hash) show();
  else location.hash = hash;
}

async function render(filmId, range) {
  const job = await openRender(filmId, range);
  if (!job) return;
  await store.refresh();
  navigate("#/queue");
}

/** The screens: a pattern of the address, the title, and what opens it. */
const SCREENS = [
  [/^$/, "Open a film", async () => (await import("./start.js")).openStart],
  [/^queue$/, "Queue", async () => (await import("./queue.js")).openQueue],
  [/^photos$/, "Photographs", async () => (await import("./photos.js")).openPhotos],
  [/^photo\/(.+)$/, "Photograph", async () => (await import("./photo.js")).openPhoto],
  [/^film\/(.+)$/, "Film", () => openFilmScreen],
];

async function openFilmScreen(root, id, screenContext) {
  const film = await findFilm(id);
  if (!film) {
    return void fill(root, missing("This film is not open", "Its corrections are kept beside it."));
  }
  if (film.id !== id) return void location.replace(`#/film/${encodeURIComponent(film.id)}`);
  screenTitle = film.name;
  updateTitle();
  const { openFilm } = await import("./film.js");
  return openFilm(root, id, screenContext);
}

/** Returns an open film; one that this tab has seen is opened again after the studio's restart. */
async function findFilm(id) {
  const film = await api.get(`/api/films/${encodeURIComponent(id)}`).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  const path = sessionStorage.getItem(`film ${id}`);
  if (film) {
    sessionStorage.setItem(`film ${id}`, film.path);
    return film;
  }
  return path && api.post("/api/films", { path });
}

function missing(title, text) {
  return h(
    "div",
    { class: "screen" },
    h("h1", { tabindex: "-1" }, title),
    h("p", {}, text),
    h("p", {}, h("a", { class: "button button-primary", href: "#/" }, "Open a film")),
  );
}

async function show() {
  const number = ++numShown;
  const address = location.hash.replace(/^#\/?/, "");
  const found = SCREENS.find(([pattern]) => pattern.test(address));
  current?.close?.();
  current = null;
  const root = h("div", { class: "screen-root" });
  main.replaceChildren(root);
  main.scrollTop = 0;
  screenTitle = found?.[1] ?? "Not found";
  updateHeader();
  updateTitle();
  try {
    if (!found) fill(root, missing("There is nothing here", "This address is not one of the studio's."));
    else {
      const id = decodeURIComponent(found[0].exec(address)[1] ?? "");
      const open = await found[2]();
      if (number !== numShown) return;
      const opened = await (id ? open(root, id, context) : open(root, context));
      if (number !== numShown) return void opened?.close?.();
      current = opened ?? null;
    }
  } catch (error) {
    if (number !== numShown) return;
    fill(root, missing("This cannot be shown", error.message));
    if (!error.status && error.name !== "ApiError") console.error(error);
  }
  if (number > 1) (root.querySelector("h1[tabindex]") ?? main).focus({ preventScroll: true });
}

// What belongs to no screen

function updateTitle() {
  const job = store.jobs.find(({ state, total }) => state === "running" && total);
  const part = job && `${Math.floor((100 * job.done) / job.total)} % – ${job.film_name}`;
  document.title = part || `${screenTitle} – filmcolor`;
}

function updateBanner() {
  const banner = document.getElementById("banner");
  if (connection.state === "here") return void fill(banner);
  const isLocked = connection.state === "locked";
  const text = isLocked
    ? "The studio was started anew. Open the address that it printed."
    : "The studio has stopped. Start it again with: ";
  fill(banner, h("p", { class: "banner" }, text, isLocked ? null : h("code", {}, "filmcolor studio")));
}

function takeDrops() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  for (const type of ["dragover", "dragenter"]) {
    window.addEventListener(type, (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      document.body.classList.add("is-dropping");
    });
  }
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("is-dropping");
  });
  window.addEventListener(
    "drop",
    () => document.body.classList.remove("is-dropping"),
    { capture: true },
  );
  window.addEventListener("drop", (event) => {
    if (!hasFiles(event) || event.defaultPrevented) return;
    event.preventDefault();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    const files = [...event.dataTransfer.files].filter((_, i) => !entries[i]?.isDirectory);
    if (entries.some((entry) => entry?.isDirectory)) {
      toast("A folder cannot be dropped. Drop the films in it, or type its path.", "error");
    }
    if (!files.length) return;
    uploads.add(files);
    const isShown = ["", "photos"].includes(location.hash.replace(/^#\/?/, ""));
    if (!isShown) navigate(uploads.items.every(({ isPhoto }) => isPhoto) ? "#/photos" : "#/");
  });
}

function onKey(event) {
  const isTyping = event.target.closest?.("input:not([type=range]), textarea, select");
  if (event.key !== "?" || isTyping || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  openHelp();
}

function onEnded({ detail: job }) {
  const isDone = job.state === "done";
  const text = isDone ? `${job.film_name} is finished.` : `${job.film_name}: ${job.error}`;
  if (location.hash === "#/queue") announce(text);
  else toast(text, isDone ? "good" : "error");
}

async function start() {
  buildHeader(navigate);
  for (const type of ["films", "jobs"]) {
    store.addEventListener(type, () => {
      updateHeader();
      updateTitle();
    });
  }
  store.addEventListener("ended", onEnded);
  connection.addEventListener("change", () => {
    updateBanner();
    if (connection.state !== "here") return;
    if (current?.refresh && !location.hash.startsWith("#/film/")) current.refresh();
    else if (current?.refresh) refreshFilm();
    else show();
  });
  window.addEventListener("hashchange", show);
  window.addEventListener("keydown", onKey);
  window.addEventListener("beforeunload", (event) => {
    if (uploads.isBusy) event.preventDefault();
  });
  document.querySelector(".skip-link").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  takeDrops();
  const watching = store.watch();
  if (!location.hash) {
    await watching;
    const [film] = store.films;
    const hash = film ? `#/film/${encodeURIComponent(film.id)}` : "#/";
    if (!location.hash) history.replaceState(null, "", hash); // nobody has gone elsewhere meanwhile
  }
  await show();
}

/** After a restart the studio may not have the film of this screen open any more. */
async function refreshFilm() {
  const id = decodeURIComponent(location.hash.replace("#/film/", ""));
  try {
    const film = await findFilm(id);
    if (film?.id === id) current?.refresh();
    else await show();
  } catch (error) {
    toast(error.message, "error");
  }
}

start();
