"""Routes of the queue of runs."""

import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from filmcolor.output.options import PURPOSES
from filmcolor.studio.requests import (
    flag,
    in_thread,
    malformed,
    optional_number,
    optional_text,
    query_seconds,
    read_json,
    reply,
    text,
)
from filmcolor.studio.routes_films import PRIVATE, ready_film_of

_VIDEO_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}


async def suggested_output(request: Request) -> Response:
    """GET /api/films/ID/output."""
    studio, film, query = request.app.state.studio, ready_film_of(request), request.query_params
    output = query.get("output")
    if output is not None:
        output = await in_thread(studio.library.check_output, output, film.path)
    suggestion = await in_thread(
        studio.jobs.suggest,
        film,
        _purpose(query.get("purpose", "share")),
        output,
        query_seconds(request, "start_seconds"),
        query_seconds(request, "end_seconds"),
    )
    return reply(suggestion)


async def jobs(request: Request) -> Response:
    """GET /api/jobs."""
    return reply(await in_thread(request.app.state.studio.jobs.state))


async def add_job(request: Request) -> Response:
    """POST /api/jobs."""
    studio = request.app.state.studio
    body = await read_json(request)
    film = studio.film(text(body, "film"))
    film.check_ready()
    output = optional_text(body, "output")
    if output is not None:
        output = await in_thread(studio.library.check_output, output, film.path)
    job = await in_thread(
        studio.jobs.add,
        film,
        _purpose(text(body, "purpose")),
        output,
        start_seconds=optional_number(body, "start_seconds"),
        end_seconds=optional_number(body, "end_seconds"),
        force=flag(body, "force", False),
    )
    return reply(job)


async def pause(request: Request) -> Response:
    """POST /api/jobs/JOB/pause."""
    return reply(await in_thread(request.app.state.studio.jobs.pause, request.path_params["job"]))


async def resume(request: Request) -> Response:
    """POST /api/jobs/JOB/resume."""
    return reply(await in_thread(request.app.state.studio.jobs.resume, request.path_params["job"]))


async def stop(request: Request) -> Response:
    """POST /api/jobs/JOB/stop."""
    return reply(await in_thread(request.app.state.studio.jobs.stop, request.path_params["job"]))


async def remove(request: Request) -> Response:
    """DELETE /api/jobs/JOB."""
    await in_thread(request.app.state.studio.jobs.remove, request.path_params["job"])
    return reply({})


async def download(request: Request) -> Response:
    """GET /api/jobs/JOB/download."""
    path = await _output(request)
    return FileResponse(
        path, media_type=_media_type(path), filename=path.name, headers={"Cache-Control": PRIVATE}
    )


async def video(request: Request) -> Response:
    """GET /api/jobs/JOB/video."""
    path = await _output(request)
    return FileResponse(path, media_type=_media_type(path), headers={"Cache-Control": PRIVATE})


async def _output(request: Request) -> Path:
    queue = request.app.state.studio.jobs
    path: Path = await in_thread(queue.output_path, request.path_params["job"])
    return path


def _media_type(path: Path) -> str:
    suffix = path.suffix.lower()
    return _VIDEO_TYPES.get(suffix) or mimetypes.guess_type(path.name)[0] or "video/x-matroska"


def _purpose(name: str) -> str:
    if name not in PURPOSES:
        malformed(f"purpose must be one of {', '.join(PURPOSES)}")
    return name


ROUTES = [
    Route("/api/films/{film}/output", suggested_output, methods=["GET"]),
    Route("/api/jobs", jobs, methods=["GET"]),
    Route("/api/jobs", add_job, methods=["POST"]),
    Route("/api/jobs/{job}/pause", pause, methods=["POST"]),
    Route("/api/jobs/{job}/resume", resume, methods=["POST"]),
    Route("/api/jobs/{job}/stop", stop, methods=["POST"]),
    Route("/api/jobs/{job}", remove, methods=["DELETE"]),
    Route("/api/jobs/{job}/download", download, methods=["GET"]),
    Route("/api/jobs/{job}/video", video, methods=["GET"]),
]
