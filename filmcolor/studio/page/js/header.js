// The header of all screens: the open films, the other screens, the queue's progress.

import { api } from "./api.js";
import { fill, h, icon, iconButton, toast } from "./dom.js";
import { openHelp } from "./help.js";
import { isActive, store } from "./store.js";

const tabs = h("ul");
const queueCount = h("span", { class: "count", hidden: true });
const queueLink = h("a", { href: "#/queue" }, icon("queue"), h("span", { class: "name" }, "Queue"));
const progressLine = h("div", { class: "header-progress", hidden: true });
let leaveFor = () => {};
let shown = ""; // the address whose tab was scrolled to

/** Puts the header onto the page; `navigate(hash)` leads away from a film that is closed. */
export function buildHeader(navigate) {
  leaveFor = navigate;
  const place = (hash, picture, name) =>
    h("li", {}, h("a", { href: hash, title: name }, icon(picture), h("span", { class: "name" }, name)));
  queueLink.append(queueCount);
  const help = iconButton("Help", "help", { title: "Help (?)", onclick: openHelp });
  const brand = { class: "brand", href: "#/", "aria-label": "filmcolor: open a film" };
  const places = [place("#/", "plus", "Open a film"), place("#/photos", "photo", "Photographs")];
  document.getElementById("header").append(
    h("a", brand, h("img", { src: "favicon.svg", alt: "" }), h("span", {}, "filmcolor")),
    h("nav", { class: "tabs", "aria-label": "Films" }, tabs),
    h(
      "nav",
      { class: "places", "aria-label": "Studio" },
      h("ul", {}, places, h("li", {}, queueLink), h("li", {}, help)),
    ),
    progressLine,
  );
}

/** Shows what is open, where the person is, and how far the queue is. */
export function updateHeader() {
  const here = location.hash || "#/";
  const known = new Map([...tabs.children].map((tab) => [tab.dataset.id, tab]));
  for (const film of store.films) {
    const tab = known.get(film.id) ?? buildTab(film);
    known.delete(film.id);
    if (!tab.isConnected) tabs.append(tab);
    sessionStorage.setItem(`film ${film.id}`, film.path);
  }
  for (const [, tab] of known) tab.remove();
  tabs.parentElement.hidden = !store.films.length;
  for (const link of document.querySelectorAll("#header nav a")) {
    if (link.getAttribute("href") === here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const tab = tabs.querySelector('[aria-current="page"]');
  if (tab && shown !== here) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  shown = here;
  updateQueueLink();
}

function buildTab({ id, name }) {
  const href = `#/film/${encodeURIComponent(id)}`;
  const close = iconButton(`Close ${name}`, "close", { onclick: () => closeFilm(id, href) });
  return h(
    "li",
    { class: "tab", dataset: { id } },
    h("a", { href, title: name }, icon("film"), h("span", {}, name)),
    close,
  );
}

async function closeFilm(id, href) {
  const others = store.films.filter((film) => film.id !== id);
  const isShown = location.hash === href;
  sessionStorage.removeItem(`film ${id}`);
  if (isShown) leaveFor(others.length ? `#/film/${encodeURIComponent(others[0].id)}` : "#/");
  try {
    await api.del(`/api/films/${encodeURIComponent(id)}`);
  } catch (error) {
    toast(error.message, "error");
  }
  await store.refresh();
  if (!isShown) document.getElementById("main").focus();
}

function updateQueueLink() {
  const number = store.jobs.filter(isActive).length;
  const job = store.jobs.find(({ state }) => state === "running");
  fill(queueCount, String(number));
  queueCount.hidden = !number;
  queueLink.setAttribute("aria-label", number ? `Queue: ${number} job${number > 1 ? "s" : ""}` : "Queue");
  queueLink.title = queueLink.getAttribute("aria-label");
  progressLine.hidden = !job?.total;
  if (job?.total) progressLine.style.transform = `scaleX(${job.done / job.total})`;
}
