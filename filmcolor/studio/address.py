"""Where the studio listens, and the address that opens it.

This module imports nothing slow: the browser starts while PyTorch is loaded.
"""

import errno
import socket
from contextlib import suppress

from filmcolor.errors import SettingsError

PORT = 8517  # unless it is taken
_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # all addresses of the machine, and one to open


def bind(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens at a host and a port; PORT or a free one by default.

    Raises SettingsError when the port is taken or the host is not of this machine.
    """
    if port is not None:
        return _bind(host, port)
    with suppress(_PortTakenError):
        return _bind(host, PORT)
    return _bind(host, 0)


class _PortTakenError(SettingsError):
    pass


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{host} is no host of this machine ({error}); check --host") from error
    listener = socket.socket(family, kind, protocol)
    try:
        _share_nothing(listener)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", None)):
            raise _PortTakenError(
                f"port {port} is in use; choose another with --port, or leave it out"
            ) from error
        remedy = "choose another with --port" if error.errno == errno.EACCES else "check --host"
        raise SettingsError(
            f"the studio cannot listen at {host}, port {port} ({error.strerror}); {remedy}"
        ) from error
    return listener


def _share_nothing(listener: socket.socket) -> None:
    """Let no other program listen at the same address, but this one again after it has ended."""
    if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def address_of(listener: socket.socket, host: str, token: str) -> str:
    """Return the address that opens the studio in a browser of this machine."""
    port = listener.getsockname()[1]
    name = _ANY.get(host, host)
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    return f"http://{name}:{port}/?token={token}"
