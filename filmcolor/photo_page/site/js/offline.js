// The page without the internet: the page's side of the service worker, sw.js.

// export-page fills this line in
const VERSION = "";

const ROOT = new URL("../", import.meta.url); // the page's folder
const MAX_WAIT = 3000; // milliseconds until the page loads without the service worker
const RELOADED = "filmcolor-reloaded";

const container = navigator.serviceWorker; // undefined where the address is not https

/** @type {Promise<ServiceWorkerRegistration | undefined> | undefined} */
let registered;

/** Return the registration; undefined where the browser allows none. */
async function register() {
  const earlier = await registered;
  // nothing is left of it where a file could not be loaded
  if (earlier && !(earlier.installing || earlier.waiting || earlier.active)) registered = undefined;
  registered ??= Promise.resolve(
    container?.register(new URL("sw.js", ROOT), { scope: ROOT.href, updateViaCache: "none" }),
  ).catch(() => undefined); // a private window, for example
  return registered;
}

/**
 * Wait for the service worker, but not for long, so that what the page loads next is stored.
 *
 * A page that an older or newer version of the service worker serves, or would serve, is loaded
 * again, once, so that it has files of one version only. Another tab may have changed the version.
 */
export async function controlled() {
  if (!(await register())) return;
  let isWaiting = true;
  const claimed = async () => {
    const { controller } = container;
    const changed = new Promise((resolve) => {
      if (controller) resolve();
      else container.addEventListener("controllerchange", resolve, { once: true });
    });
    if (await ask(controller ?? (await container.ready).active, "claim")) await changed;
    else if (isWaiting && sessionStorage.getItem(RELOADED) !== VERSION) {
      sessionStorage.setItem(RELOADED, VERSION);
      location.reload();
      await new Promise(() => {});
    }
  };
  await Promise.race([claimed(), new Promise((resolve) => setTimeout(resolve, MAX_WAIT))]);
  isWaiting = false;
}

/**
 * Return when everything is stored on the device. Where that fails, the promise stays open.
 *
 * What the page has not loaded itself is loaded now, so call it when the page has loaded.
 */
export async function offlineReady() {
  const isReady = (await register()) && (await ask((await container.ready).active, "complete"));
  if (!isReady) await new Promise(() => {});
}

/**
 * Call back when a newer version of the page is on the device.
 *
 * @param {(apply: () => void) => void} callback `apply` loads the page again, in that version
 */
export async function onUpdate(callback) {
  const registration = await register();
  if (!registration) return;
  const offer = () => {
    // the first version of all does not wait for another
    if (registration.active && registration.waiting) callback(() => replace(registration));
  };
  const follow = () => registration.installing?.addEventListener("statechange", offer);
  registration.addEventListener("updatefound", follow);
  follow(); // it may be under way
  offer();
  let { controller } = container;
  container.addEventListener("controllerchange", () => {
    if (controller) callback(() => location.reload()); // another tab has replaced the version
    controller = container.controller;
  });
}

/**
 * Return the photograph that another app has shared with the page, once; null if there is none.
 *
 * @returns {Promise<File | null>}
 */
export async function takeShared() {
  if (!container?.controller || !new URLSearchParams(location.search).has("shared")) return null;
  history.replaceState(null, "", ROOT.pathname);
  const response = await fetch(new URL("share", ROOT));
  if (response.status !== 200) return null;
  const name = decodeURIComponent(response.headers.get("x-name") ?? "");
  return new File([await response.blob()], name, { type: response.headers.get("content-type") });
}

/** @param {ServiceWorkerRegistration} registration */
function replace({ waiting }) {
  if (!waiting) {
    location.reload();
    return;
  }
  waiting.addEventListener("statechange", () => {
    if (waiting.state === "activated") location.reload();
  });
  waiting.postMessage({ action: "replace" });
}

/** Return the service worker's answer. */
function ask(/** @type {ServiceWorker} */ worker, /** @type {string} */ action) {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => resolve(data);
    worker.postMessage({ action, version: VERSION }, [port2]);
  });
}
