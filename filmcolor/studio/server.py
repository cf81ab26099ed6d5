"""Answers the requests of the studio until the process is told to end."""

import logging
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import uvicorn

from filmcolor.studio.app import create_app
from filmcolor.studio.security import is_loopback, make_access

if TYPE_CHECKING:
    from filmcolor.studio.studio import Studio


def serve(
    studio: "Studio",
    listener: socket.socket,
    *,
    host: str,
    token: str,
    more_hosts: tuple[str, ...] = (),
) -> None:
    """Answer requests until the process gets SIGINT or SIGTERM, which end it at once.

    `listener`: of `bind`, at `host`. `more_hosts`: names that requests may use for this server.
    The signal is raised again afterwards.
    """
    port = listener.getsockname()[1]
    names = () if is_loopback(host) else _machine_names()
    access = make_access(token, host, port, more_hosts, names)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # `Guard` logs errors
    config = uvicorn.Config(
        create_app(studio, access),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=0,
    )
    with closing(listener):
        uvicorn.Server(config).run(sockets=[listener])


def _machine_names() -> set[str]:
    name = socket.gethostname().lower()
    return {name, name.partition(".")[0], socket.getfqdn().lower()}
