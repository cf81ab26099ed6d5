// Requests to the studio's JSON API (docs/studio-api.md), and whether the studio answers at all.
//
// Paths are whole: api.get("/api/films"). A path's parts that come from outside go through
// encodeURIComponent, or through query({name: value}).

/** What the server answered instead of a result. `status` is 0 if it did not answer. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/**
 * Dispatches "change" when the studio stops answering or answers again.
 * `state` is "here", "gone" (nothing answers) or "locked" (it does not accept our cookie).
 */
class Connection extends EventTarget {
  state = "here";
  #timer = 0;

  report(state) {
    if (state !== this.state) {
      this.state = state;
      this.dispatchEvent(new Event("change"));
    }
    if (state === "here") {
      clearTimeout(this.#timer);
      this.#timer = 0;
    } else if (!this.#timer) {
      this.#timer = setTimeout(() => this.#ask(), 1500);
    }
  }

  async #ask() {
    this.#timer = 0;
    try {
      const response = await fetch("/api/studio", { cache: "no-store" });
      this.report(response.status === 401 ? "locked" : "here");
    } catch {
      this.report("gone");
    }
  }
}

export const connection = new Connection();

const GONE = "The studio does not answer. Start it again with: filmcolor studio";
const LOCKED = "The studio was started anew. Open the address that it printed.";

/** Returns "?a=1&b=2" of the values that are neither undefined nor null, or "". */
export function query(values) {
  const known = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return known.length ? `?${new URLSearchParams(known)}` : "";
}

function errorOf(status, text) {
  if (status === 401) return new ApiError(LOCKED, status);
  try {
    const { error } = JSON.parse(text);
    if (error) return new ApiError(error, status);
  } catch {
    // not JSON: a line of the server itself
  }
  return new ApiError(text.length < 200 && text ? text : `The studio answered ${status}.`, status);
}

async function request(method, path, { body, type, signal } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      body,
      signal,
      cache: method === "GET" ? "no-cache" : "no-store",
      headers: { Accept: "application/json", ...(type && { "Content-Type": type }) },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.report("gone");
    throw new ApiError(GONE, 0);
  }
  connection.report(response.status === 401 ? "locked" : "here");
  const text = await response.text();
  if (!response.ok) throw errorOf(response.status, text);
  return text ? JSON.parse(text) : null;
}

function requestJson(method, path, body, options) {
  const isEmpty = body === undefined;
  return request(method, path, {
    ...options,
    body: isEmpty ? undefined : JSON.stringify(body),
    type: isEmpty ? undefined : "application/json",
  });
}

/**
 * Sends a file and returns a promise of the answer, with a method `abort()`, after which it is
 * rejected with an AbortError. `onProgress(sent, total)` is called with numbers of bytes.
 */
function upload(path, file, onProgress = () => {}, method = "POST") {
  const xhr = new XMLHttpRequest();
  const answer = new Promise((resolve, reject) => {
    xhr.open(method, path);
    xhr.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    xhr.upload.addEventListener("progress", (event) => onProgress(event.loaded, file.size));
    xhr.addEventListener("load", () => {
      connection.report(xhr.status === 401 ? "locked" : "here");
      if (xhr.status >= 400) reject(errorOf(xhr.status, xhr.responseText));
      else resolve(xhr.responseText ? JSON.parse(xhr.responseText) : null);
    });
    xhr.addEventListener("abort", () => reject(new DOMException("Cancelled", "AbortError")));
    xhr.addEventListener("error", () => {
      // the server also ends the connection of an upload that it refuses
      request("GET", "/api/studio").then(
        () => reject(new ApiError(`${file.name} was not taken. Is the disk full?`, 0)),
        reject,
      );
    });
    xhr.send(file);
  });
  answer.abort = () => xhr.abort();
  return answer;
}

/** Every method throws ApiError; `options` is `{signal}` to abort. */
export const api = {
  get: (path, options) => request("GET", path, options),
  post: (path, body, options) => requestJson("POST", path, body, options),
  put: (path, body, options) => requestJson("PUT", path, body, options),
  del: (path, options) => request("DELETE", path, options),
  bytes: (method, path, blob, options) =>
    request(method, path, { ...options, body: blob, type: blob.type || "application/octet-stream" }),
  upload,
};
