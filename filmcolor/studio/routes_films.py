"""Routes of films: their shots, frames and clips."""

import hashlib
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.requests import (
    in_thread,
    query_number,
    query_side,
    read_json,
    reply,
    shot_numbers,
    text,
    whole_number,
)

if TYPE_CHECKING:
    from filmcolor.studio.film import OpenFilm

# of pictures and films: kept by the browser, and asked for again each time
PRIVATE = "private, no-cache"


def film_of(request: Request) -> "OpenFilm":
    """Return the film of an address; raises NotFoundError."""
    film: OpenFilm = request.app.state.studio.film(request.path_params["film"])
    return film


def picture_answer(
    request: Request, data: bytes, media_type: str, headers: dict[str, str] | None = None
) -> Response:
    """Return a picture, or the answer that the browser has it already."""
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": PRIVATE, **(headers or {})}
    known = request.headers.get("if-none-match", "")
    if tag in (item.strip().removeprefix("W/") for item in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


async def films(request: Request) -> Response:
    """GET /api/films."""
    studio = request.app.state.studio

    def states() -> list[dict[str, Any]]:
        return [film.state_json() for film in list(studio.films.values())]

    return reply({"films": await in_thread(states)})


async def open_film(request: Request) -> Response:
    """POST /api/films."""
    studio = request.app.state.studio
    path = text(await read_json(request), "path")

    def opened() -> dict[str, Any]:
        return studio.open_film(studio.library.check(path)).state_json()

    return reply(await in_thread(opened))


async def film(request: Request) -> Response:
    """GET /api/films/ID."""
    return reply(await in_thread(film_of(request).state_json))


async def close_film(request: Request) -> Response:
    """DELETE /api/films/ID."""
    await in_thread(request.app.state.studio.close_film, request.path_params["film"])
    return reply({})


async def poster(request: Request) -> Response:
    """GET /api/films/ID/poster."""
    return picture_answer(request, await in_thread(film_of(request).poster), "image/jpeg")


async def shots(request: Request) -> Response:
    """GET /api/films/ID/shots."""
    return reply(await in_thread(film_of(request).shots_json, query_number(request, "since", 0)))


async def visible(request: Request) -> Response:
    """POST /api/films/ID/visible."""
    film = film_of(request)
    await in_thread(film.set_visible, shot_numbers(await read_json(request)))
    return reply({})


async def thumbnail(request: Request) -> Response:
    """GET /api/films/ID/shots/NUMBER/thumbnail."""
    number = request.path_params["number"]
    data = await in_thread(film_of(request).thumbnail, number, query_side(request))
    if data is None:
        raise NotFoundError(f"the thumbnail of shot {number} is not ready; ask again later")
    return picture_answer(request, data, "image/jpeg")


async def frame(request: Request) -> Response:
    """GET /api/films/ID/frames/N."""
    number = request.path_params["frame"]
    data, version = await in_thread(film_of(request).frame_jpeg, number, query_side(request))
    return picture_answer(request, data, "image/jpeg", {"X-Version": str(version)})


async def swatches(request: Request) -> Response:
    """GET /api/films/ID/frames/N/swatches."""
    return reply(await in_thread(film_of(request).swatches, request.path_params["frame"]))


async def alike(request: Request) -> Response:
    """GET /api/films/ID/shots/NUMBER/alike."""
    return reply(await in_thread(film_of(request).alike, request.path_params["number"]))


async def begin_clip(request: Request) -> Response:
    """POST /api/films/ID/clips."""
    film = ready_film_of(request)
    body = await read_json(request)
    first = whole_number(body.get("first"), "first")
    stop = whole_number(body.get("stop"), "stop")
    return reply({"id": await in_thread(film.clips.begin, first, stop)})


async def clip(request: Request) -> Response:
    """GET /api/films/ID/clips/CLIP."""
    clips = ready_film_of(request).clips
    return reply(await in_thread(clips.state, request.path_params["clip"]))


async def clip_video(request: Request) -> Response:
    """GET /api/films/ID/clips/CLIP/video."""
    path = await in_thread(ready_film_of(request).clips.path, request.path_params["clip"])
    return FileResponse(path, media_type="video/mp4", headers={"Cache-Control": PRIVATE})


def ready_film_of(request: Request) -> "OpenFilm":
    """Return the film of an address once it is open; raises NotFoundError before."""
    film = film_of(request)
    film.check_ready()
    return film


ROUTES = [
    Route("/api/films", films, methods=["GET"]),
    Route("/api/films", open_film, methods=["POST"]),
    Route("/api/films/{film}", film, methods=["GET"]),
    Route("/api/films/{film}", close_film, methods=["DELETE"]),
    Route("/api/films/{film}/poster", poster, methods=["GET"]),
    Route("/api/films/{film}/shots", shots, methods=["GET"]),
    Route("/api/films/{film}/visible", visible, methods=["POST"]),
    Route("/api/films/{film}/shots/{number:int}/thumbnail", thumbnail, methods=["GET"]),
    Route("/api/films/{film}/shots/{number:int}/alike", alike, methods=["GET"]),
    Route("/api/films/{film}/frames/{frame:int}", frame, methods=["GET"]),
    Route("/api/films/{film}/frames/{frame:int}/swatches", swatches, methods=["GET"]),
    Route("/api/films/{film}/clips", begin_clip, methods=["POST"]),
    Route("/api/films/{film}/clips/{clip}", clip, methods=["GET"]),
    Route("/api/films/{film}/clips/{clip}/video", clip_video, methods=["GET"]),
]
