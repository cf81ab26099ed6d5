"""Calls of the page's JavaScript in a browser, with NumPy arrays in and out."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SITE = Path(__file__).parent.parent / "filmcolor" / "photo_page" / "site"

_JAVASCRIPT = {
    "float32": "Float32Array",
    "float64": "Float64Array",
    "int32": "Int32Array",
    "uint16": "Uint16Array",
    "uint8": "Uint8Array",
}
# typed arrays travel as {"array": kind, "data": base64}, at any depth
_SETUP = """() => {
  const unpack = (value) => {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(unpack);
    if (value.array) {
      const bytes = Uint8Array.from(atob(value.data), (c) => c.charCodeAt(0));
      return new globalThis[value.array](bytes.buffer);
    }
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, unpack(v)]));
  };
  const pack = (value) => {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(pack);
    if (ArrayBuffer.isView(value)) {
      const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      let text = "";
      for (let i = 0; i < bytes.length; i += 8192) {
        text += String.fromCharCode(...bytes.subarray(i, i + 8192));
      }
      const array = value.constructor.name.replace("Clamped", "");
      return { array, data: btoa(text) };
    }
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, pack(v)]));
  };
  globalThis.kept = {};
  globalThis.call = async ([modules, body, args]) => {
    const found = await Promise.all(modules.map((name) => import(`/js/${name}.js`)));
    const names = Object.assign({}, ...found);
    const all = { ...names, ...unpack(args), kept };
    const AsyncFunction = (async () => {}).constructor;
    return pack(await new AsyncFunction(...Object.keys(all), body)(...Object.values(all)));
  };
}"""


class JavaScript:
    """The modules of the page, in a browser's tab at the root of the site."""

    def __init__(self, page: Any) -> None:
        self.page = page
        page.evaluate(_SETUP)

    def keep(self, **values: Any) -> None:
        """Keep values for later calls, which find them in `kept`."""
        self.page.evaluate("values => Object.assign(kept, values)", values)

    def call(self, modules: str, body: str, **arguments: Any) -> Any:
        """Return what the body of a function returns.

        The exports of the modules and the arguments are its variables.
        """
        args = {name: _packed(value) for name, value in arguments.items()}
        return _unpacked(self.page.evaluate("call", [modules.split(), body, args]))


def _packed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"array": _JAVASCRIPT[value.dtype.name], "data": data}
    if isinstance(value, list):
        return [_packed(item) for item in value]
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        (dtype,) = (name for name, kind in _JAVASCRIPT.items() if kind == value["array"])
        array: NDArray[Any] = np.frombuffer(base64.b64decode(value["data"]), dtype)
        return array
    return {name: _unpacked(item) for name, item in value.items()}
