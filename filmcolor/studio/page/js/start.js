// The first screen: films that were open before, films on this computer, files to drop.

import { api, query } from "./api.js";
import { fill, formatBytes, h, button, icon } from "./dom.js";
import { store } from "./store.js";
import { dropZone, uploadList, uploads } from "./uploads.js";

const FILTER_FROM = 15; // entries of a folder from which a filter helps
let lastFolder = ""; // of this tab, for coming back

const filmHash = ({ id }) => `#/film/${encodeURIComponent(id)}`;

export async function openStart(root, { navigate, toast }) {
  const studio = await api.get("/api/studio");
  uploads.maxBytes = studio.max_upload_bytes ?? Infinity;

  const problem = h("p", { class: "problem", role: "alert" });
  let isOpening = false;
  async function openPath(path) {
    if (isOpening || !path) return;
    isOpening = true;
    fill(problem);
    root.classList.add("is-waiting");
    try {
      const film = await api.post("/api/films", { path });
      store.refresh();
      navigate(filmHash(film));
    } catch (error) {
      fill(problem, icon("alert"), h("span", {}, error.message));
      problem.scrollIntoView({ block: "nearest" });
    } finally {
      isOpening = false;
      root.classList.remove("is-waiting");
    }
  }

  const browser = folderBrowser(studio.folders, openPath);
  const list = uploadList();
  const arrived = watchArrivals({ navigate, toast });
  fill(
    root,
    h(
      "div",
      { class: "screen start" },
      h(
        "div",
        { class: "stack" },
        h("h1", { tabindex: "-1" }, "Open a film"),
        h(
          "p",
          { class: "muted" },
          "Choose a black-and-white film: filmcolor finds its shots and colours them, and you correct what looks wrong.",
        ),
        problem,
      ),
      h("div", { class: "stack start-main" }, browser.element, pathForm(openPath)),
      h(
        "div",
        { class: "stack start-side" },
        list.element,
        dropZone(
          "Drop films or photographs here",
          `Films are copied into ${studio.upload_folder} on this computer. Nothing is sent elsewhere.`,
        ),
        recentFilms(studio.recent, openPath),
      ),
    ),
  );
  browser.open(lastFolder || studio.folders[0]?.path);
  return {
    refresh: () => browser.open(lastFolder || studio.folders[0]?.path),
    close() {
      list.close();
      arrived.close();
    },
  };
}

/** Leads to what was dropped: the film, or the photographs when all are there. */
function watchArrivals({ navigate }) {
  let film = null;
  let hasPhotos = false;
  const onFilm = ({ detail }) => {
    film ??= detail;
    store.refresh();
  };
  const onPhoto = () => {
    hasPhotos = true;
  };
  const onIdle = () => {
    if (uploads.items.length) return; // something failed: its line must be seen
    if (film) navigate(filmHash(film));
    else if (hasPhotos) navigate("#/photos");
  };
  const handlers = { film: onFilm, photo: onPhoto, idle: onIdle };
  for (const [type, handler] of Object.entries(handlers)) uploads.addEventListener(type, handler);
  return {
    close() {
      for (const [type, handler] of Object.entries(handlers)) {
        uploads.removeEventListener(type, handler);
      }
    },
  };
}

function pathForm(openPath) {
  const input = h("input", { class: "input", id: "film-path", type: "text", autocomplete: "off" });
  Object.assign(input, { spellcheck: false, placeholder: "/films/film.mp4" });
  input.setAttribute("autocapitalize", "off");
  const submit = (event) => {
    event.preventDefault();
    openPath(input.value.trim().replace(/^"(.*)"$/, "$1"));
  };
  return h(
    "form",
    { class: "card field", onsubmit: submit },
    h("label", { for: "film-path" }, "Path of a film"),
    h("div", { class: "row nowrap" }, input, button("Open", { type: "submit" })),
  );
}

function recentFilms(recent, openPath) {
  if (!recent.length) return null;
  const rows = recent.map(({ name, path }) =>
    h("li", {}, entryButton("film", name, folderOf(path), () => openPath(path))),
  );
  return h(
    "section",
    { class: "card stack", "aria-labelledby": "recent" },
    h("h2", { id: "recent" }, "Recent films"),
    h("ul", { class: "entries", "aria-labelledby": "recent" }, rows),
  );
}

const folderOf = (path) => path.replace(/[\\/][^\\/]*$/, "") || "/";

function entryButton(picture, name, note, onclick) {
  return h(
    "button",
    { type: "button", class: "entry", onclick },
    icon(picture),
    h("span", { class: "entry-name" }, name),
    note && h("span", { class: "entry-note" }, note),
  );
}

/** A small list of one folder: folders first, then films. */
function folderBrowser(places, openPath) {
  const crumbs = h("ol", { class: "crumbs" });
  const list = h("ul", { class: "entries", "aria-label": "Films and folders" });
  const note = h("p", { class: "muted small", role: "status" });
  const filter = h("input", { class: "input", type: "search", placeholder: "Find in this folder" });
  filter.setAttribute("aria-label", "Find in this folder");
  filter.addEventListener("input", () => showMatches());
  let number = 0;

  async function open(folder, isMoved = false) {
    const mine = ++number;
    let listing;
    try {
      listing = await api.get(`/api/files${query({ folder: folder || null })}`);
    } catch (error) {
      if (mine !== number) return;
      lastFolder = "";
      if (folder && error.status && folder !== places[0]?.path) return open(places[0]?.path, isMoved);
      fill(list);
      fill(note, error.message);
      return;
    }
    if (mine !== number) return;
    lastFolder = listing.folder;
    showCrumbs(listing);
    const { folders, films } = listing;
    fill(
      list,
      folders.map(({ name, path }) =>
        h("li", {}, entryButton("folder", name, "", () => open(path, true))),
      ),
      films.map(({ name, path, num_bytes }) =>
        h("li", {}, entryButton("film", name, formatBytes(num_bytes), () => openPath(path))),
      ),
    );
    filter.value = "";
    filter.hidden = list.children.length < FILTER_FROM;
    const numFilms = `${films.length} film${films.length === 1 ? "" : "s"}`;
    fill(note, films.length ? numFilms : "There is no film in this folder.");
    if (isMoved) (list.querySelector("button") ?? crumbs.querySelector("button"))?.focus();
    list.scrollTop = 0;
  }

  function showMatches() {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of list.children) {
      row.hidden = !row.querySelector(".entry-name").textContent.toLowerCase().includes(wanted);
    }
  }

  function showCrumbs({ folder }) {
    const steps = pathSteps(folder, places);
    fill(
      crumbs,
      steps.map(({ name, path }, i) => {
        const isLast = i === steps.length - 1;
        const props = { class: "button crumb", "aria-current": isLast ? "location" : null };
        return h("li", {}, button(name, { ...props, onclick: () => open(path, true) }));
      }),
    );
    crumbs.lastElementChild?.scrollIntoView({ block: "nearest", inline: "end" });
    for (const { element, path } of placeButtons) {
      element.setAttribute("aria-pressed", String(path === steps[0]?.path));
    }
  }

  const placeButtons = places.map(({ name, path }) => {
    const element = button(name, { picture: "folder", title: path, onclick: () => open(path, true) });
    return { element, path };
  });
  const placesGroup = h("div", { class: "row", role: "group", "aria-label": "Places" });
  placesGroup.append(...placeButtons.map(({ element }) => element));
  placesGroup.hidden = places.length < 2;
  const element = h(
    "section",
    { class: "card stack", "aria-labelledby": "browser" },
    h("h2", { id: "browser" }, "On this computer"),
    placesGroup,
    h("nav", { "aria-label": "Folder" }, crumbs),
    filter,
    list,
    note,
  );
  return { element, open };
}

/** Returns [{name, path}, …] from a place down to a folder in it. */
export function pathSteps(folder, places) {
  const separator = folder.includes("/") ? "/" : "\\";
  const inside = places
    .filter(({ path }) => isWithin(folder, path, separator))
    .sort((a, b) => b.path.length - a.path.length);
  const place = inside[0] ?? { name: folder, path: folder };
  const steps = [place];
  for (const name of folder.slice(place.path.length).split(separator).filter(Boolean)) {
    const before = steps.at(-1).path;
    steps.push({ name, path: before.endsWith(separator) ? before + name : before + separator + name });
  }
  return steps;
}

function isWithin(folder, place, separator) {
  const start = place.endsWith(separator) ? place : place + separator;
  return folder === place || folder.startsWith(start);
}
