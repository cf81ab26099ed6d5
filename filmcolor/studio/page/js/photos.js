// All photographs: a grid, each half grey and half in colour, and an area to drop more.

import { api } from "./api.js";
import { confirmDialog, fill, h, icon, iconButton } from "./dom.js";
import { dropZone, uploadList, uploads } from "./uploads.js";

const THUMBNAIL = 640; // pixels, long side

export const photoPath = (id, end = "") => `/api/photos/${encodeURIComponent(id)}${end}`;

/** Returns the address of a photograph's picture; the version makes the browser ask again. */
export const imagePath = ({ id, version }, side, size) =>
  photoPath(id, `/image?side=${side}&size=${size}&version=${encodeURIComponent(version)}`);

/** Asks, then removes a photograph; returns whether it is gone. */
export async function removePhoto({ id, name }, toast) {
  const text = "The studio's copy and its strokes are removed. Your own file stays.";
  if (!(await confirmDialog(`Remove ${name}?`, text, "Remove"))) return false;
  try {
    await api.del(photoPath(id));
    return true;
  } catch (error) {
    toast(error.message, "error");
    return error.status === 404;
  }
}

export async function openPhotos(root, { toast }) {
  const grid = h("ul", { class: "photo-grid", "aria-label": "Photographs" });
  const heading = h("h1", { tabindex: "-1" }, "Photographs");
  const list = uploadList();
  const zone = dropZone(
    "Drop black-and-white photographs here",
    "They are copied to the studio's folder on this computer and coloured at once.",
    { accept: "image/*,.tif,.tiff,.jp2,.jxl,.heic,.heif,.avif", label: "Choose photographs" },
  );
  fill(root, h("div", { class: "screen" }, heading, zone, list.element, grid));

  async function remove(photo) {
    if (!(await removePhoto(photo, toast))) return;
    heading.focus();
    await update();
  }

  async function update() {
    const { photos } = await api.get("/api/photos");
    const known = new Map([...grid.children].map((card) => [card.dataset.key, card]));
    const cards = photos.map((photo) => {
      const key = `${photo.id} ${photo.version} ${photo.error}`;
      return known.get(key) ?? photoCard(photo, key, remove);
    });
    fill(grid, cards);
    grid.hidden = !photos.length;
  }

  const onPhoto = () => update().catch((error) => toast(error.message, "error"));
  uploads.addEventListener("photo", onPhoto);
  await update();
  return {
    refresh: onPhoto,
    close() {
      uploads.removeEventListener("photo", onPhoto);
      list.close();
    },
  };
}

function photoCard(photo, key, remove) {
  const { id, name, error } = photo;
  const picture = (side) =>
    h("img", {
      class: `photo-${side}`,
      src: imagePath(photo, side, THUMBNAIL),
      alt: "",
      loading: "lazy",
      decoding: "async",
    });
  const download = {
    class: "icon-button",
    href: photoPath(id, "/download"),
    download: true,
    "aria-label": `Download ${name}`,
    title: "Download",
  };
  return h(
    "li",
    { class: "card photo-card", dataset: { key } },
    h(
      "a",
      { class: "photo-link", href: `#/photo/${encodeURIComponent(id)}` },
      h(
        "span",
        { class: "photo-pair" },
        picture("grey"),
        picture("color"),
      ),
      h("span", { class: "photo-name" }, name),
    ),
    error && h("p", { class: "problem small" }, icon("alert"), h("span", {}, error)),
    h(
      "div",
      { class: "photo-buttons" },
      h("a", download, icon("download")),
      iconButton(`Remove ${name}`, "trash", { title: "Remove", onclick: () => remove(photo) }),
    ),
  );
}
