"""Routes of a film's corrections: strokes, reference pictures, grades, undo."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from filmcolor.studio.errors import NotFoundError
from filmcolor.studio.requests import (
    MAX_PICTURE_BYTES,
    flag,
    grade,
    in_thread,
    malformed,
    read_body,
    read_json,
    reply,
    shot_numbers,
    strokes,
)
from filmcolor.studio.routes_films import picture_answer, ready_film_of


async def state(request: Request) -> Response:
    """GET /api/films/ID/corrections."""
    return reply(await in_thread(ready_film_of(request).corrections.state))


async def get_strokes(request: Request) -> Response:
    """GET /api/films/ID/frames/N/strokes."""
    film, number = ready_film_of(request), request.path_params["frame"]
    film.check_frame(number)
    data = await in_thread(film.corrections.strokes_png, number)
    if data is None:
        raise NotFoundError(f"frame {number} has no strokes")
    return picture_answer(request, data, "image/png")


async def add_strokes(request: Request) -> Response:
    """POST /api/films/ID/frames/N/strokes."""
    film, number = ready_film_of(request), request.path_params["frame"]
    film.check_frame(number)
    drawn = strokes(await read_json(request))
    return reply(await in_thread(film.corrections.add_strokes, number, drawn))


async def clear_strokes(request: Request) -> Response:
    """DELETE /api/films/ID/frames/N/strokes."""
    film, number = ready_film_of(request), request.path_params["frame"]
    film.check_frame(number)
    return reply(await in_thread(film.corrections.clear_strokes, number))


async def get_reference(request: Request) -> Response:
    """GET /api/films/ID/frames/N/reference."""
    film, number = ready_film_of(request), request.path_params["frame"]
    film.check_frame(number)
    picture = await in_thread(film.corrections.reference_picture, number)
    if picture is None:
        raise NotFoundError(f"frame {number} has no reference picture")
    return picture_answer(request, *picture)


async def set_reference(request: Request) -> Response:
    """PUT /api/films/ID/frames/N/reference."""
    film, number = ready_film_of(request), request.path_params["frame"]
    film.check_frame(number)
    data = await read_body(request, MAX_PICTURE_BYTES)
    if not data:
        malformed("the body must be a picture")
    return reply(await in_thread(film.corrections.set_reference, number, data))


async def remove_reference(request: Request) -> Response:
    """DELETE /api/films/ID/frames/N/reference."""
    film, number = ready_film_of(request), request.path_params["frame"]
    film.check_frame(number)
    return reply(await in_thread(film.corrections.remove_reference, number))


async def set_grades(request: Request) -> Response:
    """PUT /api/films/ID/grades."""
    film = ready_film_of(request)
    body = await read_json(request)
    if "shots" not in body:
        malformed("shots must be a list of numbers, or null for the whole film")
    shots = None if body["shots"] is None else shot_numbers(body)
    return reply(await in_thread(film.corrections.set_grades, shots, grade(body.get("grade"))))


async def set_options(request: Request) -> Response:
    """PUT /api/films/ID/options."""
    film = ready_film_of(request)
    match_shots = flag(await read_json(request), "match_shots")
    return reply(await in_thread(film.corrections.set_options, match_shots=match_shots))


async def apply(request: Request) -> Response:
    """POST /api/films/ID/shots/NUMBER/apply."""
    film = ready_film_of(request)
    body = await read_json(request)
    corrections = await in_thread(
        film.corrections.apply,
        request.path_params["number"],
        shot_numbers(body),
        grade=flag(body, "grade", False),
        colors=flag(body, "colors", False),
    )
    return reply(corrections)


async def undo(request: Request) -> Response:
    """POST /api/films/ID/undo."""
    return reply(await in_thread(ready_film_of(request).corrections.undo))


async def redo(request: Request) -> Response:
    """POST /api/films/ID/redo."""
    return reply(await in_thread(ready_film_of(request).corrections.redo))


_FRAME = "/api/films/{film}/frames/{frame:int}"
ROUTES = [
    Route("/api/films/{film}/corrections", state, methods=["GET"]),
    Route(f"{_FRAME}/strokes", get_strokes, methods=["GET"]),
    Route(f"{_FRAME}/strokes", add_strokes, methods=["POST"]),
    Route(f"{_FRAME}/strokes", clear_strokes, methods=["DELETE"]),
    Route(f"{_FRAME}/reference", get_reference, methods=["GET"]),
    Route(f"{_FRAME}/reference", set_reference, methods=["PUT"]),
    Route(f"{_FRAME}/reference", remove_reference, methods=["DELETE"]),
    Route("/api/films/{film}/grades", set_grades, methods=["PUT"]),
    Route("/api/films/{film}/options", set_options, methods=["PUT"]),
    Route("/api/films/{film}/shots/{number:int}/apply", apply, methods=["POST"]),
    Route("/api/films/{film}/undo", undo, methods=["POST"]),
    Route("/api/films/{film}/redo", redo, methods=["POST"]),
]
