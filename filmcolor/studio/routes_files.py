"""Routes of the studio itself, its folders and uploads."""

from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from filmcolor.output.options import PURPOSES
from filmcolor.studio.library import Library
from filmcolor.studio.requests import declared_length, in_thread, malformed, reply

_CHUNK = 1 << 20  # bytes written at a time: a thread for each packet of the network costs more
_PURPOSE_TEXTS = {
    "share": "H.264: plays everywhere",
    "archive": "10-bit H.265: keeps the grain",
    "edit": "ProRes: for a video editor",
    "master": "lossless FFV1: every sample as it is",
}
_PLAYABLE = frozenset({"share"})  # in all browsers


async def studio_state(request: Request) -> Response:
    """GET /api/studio."""
    studio = request.app.state.studio

    def state() -> dict[str, Any]:
        return {**studio.state_json(), **studio.library.state(), "purposes": _purposes()}

    return reply(await in_thread(state))


def _purposes() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "text": _PURPOSE_TEXTS[name],
            "suffix": next(filter(None, purpose.suffixes)),
            "is_playable": name in _PLAYABLE,
        }
        for name, purpose in PURPOSES.items()
    ]


async def files(request: Request) -> Response:
    """GET /api/files?folder=PATH."""
    library = request.app.state.studio.library
    return reply(await in_thread(library.listing, request.query_params.get("folder")))


async def upload(request: Request) -> Response:
    """POST /api/uploads?name=NAME: the bytes go to the disk as they come."""
    library: Library = request.app.state.studio.library
    name = request.query_params.get("name")
    if not name:
        malformed("an upload needs a name: /api/uploads?name=film.mp4")
    num_bytes = declared_length(request)
    if num_bytes is None:
        raise HTTPException(411, "an upload needs a Content-Length; send the file whole")
    await in_thread(library.check_upload, num_bytes)
    with library.new_upload(name) as (partial, path):
        await _receive(request, partial, num_bytes)
    return reply({"path": str(path), "name": path.name, "num_bytes": num_bytes})


async def _receive(request: Request, partial: Path, num_bytes: int) -> None:
    """Write a body to a file; raises an error if it has another length than it should."""
    num_received, waiting = 0, bytearray()
    with await in_thread(partial.open, "wb") as file:
        try:
            async for chunk in request.stream():
                num_received += len(chunk)
                if num_received > num_bytes:
                    malformed("the upload is longer than its Content-Length; send it again")
                waiting += chunk
                if len(waiting) >= _CHUNK:
                    await in_thread(file.write, bytes(waiting))
                    waiting.clear()
        except ClientDisconnect:
            malformed("the upload was interrupted; send it again")
        await in_thread(file.write, bytes(waiting))
    if num_received < num_bytes:
        malformed("the upload is shorter than its Content-Length; send it again")


ROUTES = [
    Route("/api/studio", studio_state, methods=["GET"]),
    Route("/api/files", files, methods=["GET"]),
    Route("/api/uploads", upload, methods=["POST"]),
]
