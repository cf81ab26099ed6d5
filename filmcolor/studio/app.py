"""The studio's page and its JSON API, docs/studio-api.md, as an ASGI application."""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from filmcolor.errors import FilmcolorError
from filmcolor.studio import (
    routes_corrections,
    routes_files,
    routes_films,
    routes_jobs,
    routes_photos,
)
from filmcolor.studio.errors import (
    ConflictError,
    DiskFullError,
    ForbiddenError,
    NotFoundError,
    TooLargeError,
)
from filmcolor.studio.security import Access, Guard, error_answer

if TYPE_CHECKING:
    from filmcolor.studio.studio import Studio

PAGE_FOLDER = Path(__file__).parent / "page"
_STATUSES: dict[type[Exception], int] = {
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    TooLargeError: 413,
    DiskFullError: 507,
}
# some systems know other ones, and browsers run no script of another type
_PAGE_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def create_app(studio: "Studio", access: Access) -> ASGIApp:
    """Return the application of a studio; requests without `access` do not reach it."""
    routes = [
        *routes_files.ROUTES,
        *routes_films.ROUTES,
        *routes_corrections.ROUTES,
        *routes_jobs.ROUTES,
        *routes_photos.ROUTES,
        Mount("/", _Page(directory=PAGE_FOLDER, html=True)),
    ]
    handlers = {
        FilmcolorError: _on_filmcolor_error,
        HTTPException: _on_http_error,
        ClientDisconnect: _on_disconnect,
        OSError: _on_disk_error,
        Exception: _on_bug,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.studio = studio
    return Guard(app, access)


async def _on_filmcolor_error(_: Request, error: Exception) -> Response:
    if _is_disk_full(error):
        return error_answer(507, str(error))
    statuses = (status for kind, status in _STATUSES.items() if isinstance(error, kind))
    return error_answer(next(statuses, 422), str(error))


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = error_answer(error.status_code, _describe(error))
    answer.headers.update(error.headers or {})
    return answer


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return error_answer(400, "the request was interrupted; send it again")


async def _on_disk_error(_: Request, error: Exception) -> Response:
    if not _is_disk_full(error):
        raise error
    return error_answer(507, "the disk is full; make room")


async def _on_bug(_: Request, __: Exception) -> Response:
    return error_answer(500, "the studio failed; its terminal shows where")


def _describe(error: HTTPException) -> str:
    if error.status_code == 404:
        return "there is nothing at this address; see docs/studio-api.md"
    if error.status_code == 405:
        return "this address has no such method; see docs/studio-api.md"
    return error.detail


def _is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error comes from a disk without room."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            return True
        error = error.__cause__
    return False


class _Page(StaticFiles):
    """The files of the page; browsers ask each time whether they have changed."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return a file with its type."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        media_type = _PAGE_TYPES.get(Path(full_path).suffix.lower())
        if media_type and answer.status_code != 304:
            answer.headers["Content-Type"] = f"{media_type}; charset=utf-8"
        answer.headers["Cache-Control"] = "no-cache"
        return answer
