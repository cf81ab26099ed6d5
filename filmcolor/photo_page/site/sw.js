// The service worker: keeps the whole page on the device, so that it works without the internet.
//
// A version of the page is the list of its files with their SHA-256, which is part of this script:
// so the browser finds an update whenever any file has changed. Each version has a cache of its
// own and serves only from that; the two large files, whose names carry their hash, are in one
// cache of all versions, and a new version loads only those that have changed.

// export-page fills this line in
const PAGE = { version: "", files: {}, unpacked: {} };

const SCOPE = registration.scope;
const PREFIX = `filmcolor photo ${SCOPE} `; // other pages of this server have other scopes
const SHELL = PREFIX + PAGE.version;
const LARGE = `${PREFIX}large`;
const SHARED = `${PREFIX}shared`;
const INDEX = "index.html";
const SHARE = "share"; // as in the manifest

const largeNames = Object.keys(PAGE.unpacked);
const shellNames = Object.keys(PAGE.files).filter((name) => !largeNames.includes(name));
/** Large files on their way, by name: {response, isStored}, both promises. */
const jobs = new Map();

addEventListener("install", (event) => event.waitUntil(storeShell()));

addEventListener("activate", (event) => event.waitUntil(removeOld()));

addEventListener("fetch", (event) => {
  const { request } = event;
  const name = nameOf(request.url);
  if (name === SHARE) {
    if (request.method === "POST") event.respondWith(keepShared(request));
    else if (request.method === "GET") event.respondWith(takeShared());
  } else if (request.method !== "GET") {
    return; // nothing of ours
  } else if (largeNames.includes(name)) {
    event.respondWith(answerLarge(event, name));
  } else if (Object.hasOwn(PAGE.files, name)) {
    event.respondWith(answer(request, name));
  }
});

addEventListener("message", (event) => {
  const [port] = event.ports;
  const { action, version } = event.data;
  if (action === "claim") {
    // a page of another version keeps its own files
    const isSame = version === PAGE.version;
    event.waitUntil(isSame ? clients.claim() : Promise.resolve());
    port.postMessage(isSame);
  } else if (action === "complete") {
    event.waitUntil(complete().then((isComplete) => port.postMessage(isComplete)));
  } else if (action === "replace") {
    event.waitUntil(skipWaiting());
  }
});

/** Returns an address as a path in the page's folder, or "" if it is outside. */
function nameOf(address) {
  const { origin, pathname } = new URL(address);
  const path = origin + pathname;
  return path.startsWith(SCOPE) ? path.slice(SCOPE.length) || INDEX : "";
}

/** Returns the address of a file. Some servers redirect from index.html to its folder. */
function addressOf(name) {
  return new URL(name === INDEX ? "./" : name, SCOPE).href;
}

async function storeShell() {
  const cache = await caches.open(SHELL);
  await Promise.all(
    shellNames.map(async (name) => {
      // "no-cache": the server says whether the browser's own copy is still good. Servers that
      // compare times are wrong about a file that changed twice in a second.
      const right = (await loadSmall(name, "no-cache")) ?? (await loadSmall(name, "reload"));
      if (!right) throw new Error(`${name} is not the file of version ${PAGE.version}`);
      await cache.put(addressOf(name), right);
    }),
  );
}

async function loadSmall(name, cache) {
  const response = await fetch(addressOf(name), { cache });
  return response.ok ? verified(name, response) : undefined;
}

async function removeOld() {
  for (const key of await caches.keys()) {
    if (key.startsWith(PREFIX) && ![SHELL, LARGE, SHARED].includes(key)) await caches.delete(key);
  }
  const cache = await caches.open(LARGE);
  for (const request of await cache.keys()) {
    if (!largeNames.includes(nameOf(request.url))) await cache.delete(request);
  }
}

/** Returns a response to be stored, or undefined if it is not the file that it should be. */
async function verified(name, response) {
  const body = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  // some servers unpack files that are compressed
  if (sha256 !== PAGE.files[name] && sha256 !== PAGE.unpacked[name]) return undefined;
  // all headers stay, as those that isolate the page; only the body is as it was unpacked
  const headers = new Headers(response.headers);
  headers.delete("content-encoding");
  headers.delete("vary"); // no cache takes "*"
  headers.set("content-length", body.byteLength);
  return new Response(body, { headers });
}

async function answer(request, name) {
  const cache = await caches.open(SHELL);
  return (await cache.match(addressOf(name))) ?? fetch(request);
}

/** Answers at once with what comes from the server, which is stored if it is right. */
async function answerLarge(event, name) {
  if (!jobs.has(name)) {
    const cache = await caches.open(LARGE);
    const stored = await cache.match(addressOf(name));
    if (stored) return stored;
  }
  const job = jobs.get(name) ?? load(name);
  event.waitUntil(job.isStored);
  return (await job.response).clone();
}

/** Loads a large file. Nobody reads its response, so that every reader can have a copy of it. */
function load(name) {
  const response = fetch(addressOf(name));
  const isStored = store(name, response)
    .catch(() => false) // no connection, or no room
    .finally(() => jobs.delete(name));
  jobs.set(name, { response, isStored });
  return jobs.get(name);
}

async function store(name, response) {
  const copy = (await response).clone();
  const right = copy.ok && (await verified(name, copy));
  if (!right) return false;
  const cache = await caches.open(LARGE);
  await cache.put(addressOf(name), right);
  return true;
}

/** Returns whether the large files are stored, after loading those that were missing. */
async function complete() {
  const cache = await caches.open(LARGE);
  const stored = await Promise.all(
    largeNames.map(async (name) => {
      if (!jobs.has(name) && (await cache.match(addressOf(name)))) return true;
      return (jobs.get(name) ?? load(name)).isStored;
    }),
  );
  return stored.every(Boolean);
}

/** Keeps a picture that another app shares, and opens the page, which takes it. */
async function keepShared(request) {
  const form = await request.formData().catch(() => new FormData());
  const file = form.get("photo");
  if (!(file instanceof File)) return Response.redirect("./", 303);
  const headers = { "content-type": file.type, "x-name": encodeURIComponent(file.name) };
  const cache = await caches.open(SHARED);
  try {
    await cache.put(new URL(SHARE, SCOPE).href, new Response(file, { headers }));
  } catch {
    return Response.redirect("./", 303); // no room: the page opens, and the file can be chosen
  }
  return Response.redirect("./?shared", 303);
}

async function takeShared() {
  const cache = await caches.open(SHARED);
  const address = new URL(SHARE, SCOPE).href;
  const response = await cache.match(address);
  await cache.delete(address);
  return response ?? new Response(null, { status: 204 });
}
