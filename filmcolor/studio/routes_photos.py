"""Routes of photographs."""

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from filmcolor.studio.file_names import safe_name
from filmcolor.studio.photos import DEFAULT_SIZE, MAX_PICTURE_BYTES, PhotoDesk
from filmcolor.studio.requests import (
    grade,
    in_thread,
    malformed,
    query_number,
    query_side,
    read_body,
    read_json,
    reply,
    strokes,
)
from filmcolor.studio.routes_films import PRIVATE, picture_answer


def _desk(request: Request) -> PhotoDesk:
    desk: PhotoDesk = request.app.state.studio.photos
    return desk


async def add(request: Request) -> Response:
    """POST /api/photos?name=NAME."""
    name = request.query_params.get("name")
    if not name:
        malformed("a photograph needs a name: /api/photos?name=portrait.jpg")
    data = await read_body(request, MAX_PICTURE_BYTES)
    if not data:
        malformed("the body must be a picture")
    return reply(await in_thread(_desk(request).add, safe_name(name, "photograph"), data))


async def photos(request: Request) -> Response:
    """GET /api/photos."""
    return reply(await in_thread(_desk(request).photos))


async def image(request: Request) -> Response:
    """GET /api/photos/ID/image."""
    size = query_number(request, "size", DEFAULT_SIZE)
    photo, side = request.path_params["photo"], query_side(request)
    return picture_answer(
        request, await in_thread(_desk(request).image, photo, side, size), "image/jpeg"
    )


async def swatches(request: Request) -> Response:
    """GET /api/photos/ID/swatches."""
    return reply(await in_thread(_desk(request).swatches, request.path_params["photo"]))


async def get_strokes(request: Request) -> Response:
    """GET /api/photos/ID/strokes."""
    data = await in_thread(_desk(request).strokes, request.path_params["photo"])
    return picture_answer(request, data, "image/png")


async def add_strokes(request: Request) -> Response:
    """POST /api/photos/ID/strokes."""
    drawn = strokes(await read_json(request))
    return reply(await in_thread(_desk(request).draw, request.path_params["photo"], drawn))


async def clear_strokes(request: Request) -> Response:
    """DELETE /api/photos/ID/strokes."""
    return reply(await in_thread(_desk(request).clear_strokes, request.path_params["photo"]))


async def set_grade(request: Request) -> Response:
    """PUT /api/photos/ID/grade."""
    values = grade(await read_json(request))
    return reply(await in_thread(_desk(request).set_grade, request.path_params["photo"], values))


async def undo(request: Request) -> Response:
    """POST /api/photos/ID/undo."""
    return reply(await in_thread(_desk(request).undo, request.path_params["photo"]))


async def redo(request: Request) -> Response:
    """POST /api/photos/ID/redo."""
    return reply(await in_thread(_desk(request).redo, request.path_params["photo"]))


async def download(request: Request) -> Response:
    """GET /api/photos/ID/download."""
    path = await in_thread(_desk(request).download, request.path_params["photo"])
    return FileResponse(path, filename=path.name, headers={"Cache-Control": PRIVATE})


async def remove(request: Request) -> Response:
    """DELETE /api/photos/ID."""
    await in_thread(_desk(request).remove, request.path_params["photo"])
    return reply({})


ROUTES = [
    Route("/api/photos", add, methods=["POST"]),
    Route("/api/photos", photos, methods=["GET"]),
    Route("/api/photos/{photo}/image", image, methods=["GET"]),
    Route("/api/photos/{photo}/swatches", swatches, methods=["GET"]),
    Route("/api/photos/{photo}/strokes", get_strokes, methods=["GET"]),
    Route("/api/photos/{photo}/strokes", add_strokes, methods=["POST"]),
    Route("/api/photos/{photo}/strokes", clear_strokes, methods=["DELETE"]),
    Route("/api/photos/{photo}/grade", set_grade, methods=["PUT"]),
    Route("/api/photos/{photo}/undo", undo, methods=["POST"]),
    Route("/api/photos/{photo}/redo", redo, methods=["POST"]),
    Route("/api/photos/{photo}/download", download, methods=["GET"]),
    Route("/api/photos/{photo}", remove, methods=["DELETE"]),
]
