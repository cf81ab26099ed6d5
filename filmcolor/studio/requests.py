"""What a request holds, checked: its body, its numbers, its colours."""

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn, ParamSpec, TypeVar

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from filmcolor.studio.errors import TooLargeError

P = ParamSpec("P")
T = TypeVar("T")

MAX_JSON_BYTES = 4 << 20  # some 200,000 points of strokes
MAX_PICTURE_BYTES = 100 << 20  # a reference picture
GRADE_NAMES = ("saturation", "warmth", "skin_protect")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_MAX_WIDTH = 10_000.0  # pixels, of a stroke
_MAX_NUMBER = 1 << 53  # what JavaScript counts exactly


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that may block. A request that is cancelled leaves it to end by itself."""
    return await run_sync(partial(function, *args, **kwargs), abandon_on_cancel=True)


def reply(value: Any) -> Response:
    """Return an answer in JSON."""
    return JSONResponse(value)


def malformed(message: str) -> NoReturn:
    """Refuse a request that does not follow docs/studio-api.md."""
    raise HTTPException(400, message)


def declared_length(request: Request) -> int | None:
    """Return the number of bytes that a request says its body has; None without one."""
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        malformed(f"Content-Length {text!r} is no number of bytes")
    return int(text)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return a body whole; raises TooLargeError."""
    message = f"the request may have {max_bytes >> 20} MB at most; send less"
    if (declared_length(request) or 0) > max_bytes:
        raise TooLargeError(message)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(message)
    return bytes(body)


async def read_json(request: Request) -> dict[str, Any]:
    """Return a body that is a JSON object."""
    body = await read_body(request, MAX_JSON_BYTES)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        malformed("the body is no JSON; see docs/studio-api.md")
    if not isinstance(value, dict):
        malformed("the body must be a JSON object; see docs/studio-api.md")
    return value


# ---------------------------------------------------------------- values


def text(body: Mapping[str, Any], name: str) -> str:
    """Return a text that must be there."""
    value = body.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        malformed(f"{name} must be a text")
    return value


def optional_text(body: Mapping[str, Any], name: str) -> str | None:
    """Return a text, None without one."""
    return None if body.get(name) is None else text(body, name)


def number(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number from `low` to `high`."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and abs(value) <= 1e300 and low <= value <= high):
        limits = "" if high == math.inf else f" from {low:g} to {high:g}"
        malformed(f"{name} must be a number{limits}")
    return float(value)


def optional_number(body: Mapping[str, Any], name: str) -> float | None:
    """Return a number that is not negative, None without one."""
    value = body.get(name)
    return None if value is None else number(value, name, low=0.0)


def whole_number(value: Any, name: str, low: int = 0) -> int:
    """Return a whole number of at least `low`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not (is_whole and low <= value <= _MAX_NUMBER):
        malformed(f"{name} must be a whole number of at least {low}")
    return int(value)


def flag(body: Mapping[str, Any], name: str, default: bool | None = None) -> bool:
    """Return true or false; without a default, it must be there."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        malformed(f"{name} must be true or false")
    return value


def shot_numbers(body: Mapping[str, Any]) -> list[int]:
    """Return the numbers of shots."""
    value = body.get("shots")
    if not isinstance(value, list):
        malformed("shots must be a list of numbers")
    return [whole_number(item, "a shot's number", 1) for item in value]


def grade(value: Any) -> dict[str, float | None]:
    """Return the values of a grade that are given; None goes back to the default."""
    if not isinstance(value, dict) or not set(value) <= set(GRADE_NAMES):
        malformed(f"a grade has {', '.join(GRADE_NAMES)}, and nothing else")
    return {k: None if v is None else number(v, k) for k, v in value.items()}


def strokes(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return strokes: a colour or None, a width, and points of (x, y, pressure)."""
    value = body.get("strokes")
    if not isinstance(value, list) or not value:
        malformed("strokes must be a list of strokes")
    return [_stroke(item) for item in value]


def _stroke(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        malformed("a stroke has a color, a width and points")
    color, points = value.get("color"), value.get("points")
    if color is not None and not (isinstance(color, str) and _COLOR.fullmatch(color)):
        malformed('the color of a stroke must be "#rrggbb", or null to erase')
    if not isinstance(points, list) or not points:
        malformed("the points of a stroke must be a list of [x, y, pressure]")
    return {
        "color": color,
        "width": number(value.get("width"), "the width of a stroke", 0.1, _MAX_WIDTH),
        "points": [_point(point) for point in points],
    }


def _point(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) != 3:
        malformed("a point must be [x, y, pressure]")
    x, y = (number(item, "a position", -1e6, 1e6) for item in value[:2])
    return [x, y, number(value[2], "the pressure", 0.0, 1.0)]


def query_side(request: Request) -> str:
    """Return `grey` or `color`; color by default."""
    side = request.query_params.get("side", "color")
    if side not in ("grey", "color"):
        malformed("side must be grey or color")
    return side


def query_number(request: Request, name: str, default: int) -> int:
    """Return a whole number of the address, at least 0."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        malformed(f"{name} must be a whole number")
    return int(value)


def query_seconds(request: Request, name: str) -> float | None:
    """Return a time of the address in seconds, None where it is left out."""
    value = request.query_params.get(name)
    if value is None:
        return None
    try:
        return number(float(value), name, 0.0)
    except ValueError:
        malformed(f"{name} must be a number of seconds")
