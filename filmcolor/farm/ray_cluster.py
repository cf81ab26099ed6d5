"""Connects this process to a Ray cluster, unless that lets anybody in.

Whoever reaches the port of a cluster may run any program on its nodes, except where it asks for a
token (Ray 2.52 and later, RAY_AUTH_MODE=token). A client with a token gets into an open cluster
too and does not notice, so the cluster itself is asked, with a call that has no token.

Source: https://docs.ray.io/en/latest/ray-security/token-auth.html
"""

import ipaddress
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from filmcolor.errors import SettingsError

MIN_VERSION = 2, 52  # the first with tokens
_START = "start one with `ray start --head`, or set RAY_ADDRESS to HOST:PORT of one"
_PATIENCE_SECONDS = 5.0  # for the cluster's first answer
_ANY_CALL = "/ray.rpc.NodeInfoGcsService/CheckAlive"  # of those that want the token


@contextmanager
def connected() -> Iterator[Any]:
    """Give the `ray` module, connected to the cluster of RAY_ADDRESS or the one running here.

    A connection that this process has already is used, and kept. Raises SettingsError when Ray is
    not installed, when there is no cluster, and when a cluster that others can reach asks for no
    token, or for another one.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    address = _find_address()
    _check_access(address)
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        # RAY_ADDRESS counts here too, and only "auto" finds the token of ~/.ray/auth_token
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"the Ray cluster at {address} cannot be used: {reason}; versions of Ray and Python "
            "must be those of the cluster"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_term)  # Ray's own would skip the clean-up
    try:
        with _quiet(ray):
            yield ray
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise SettingsError("Ray is not installed; run: pip install 'filmcolor[ray]'") from error
    if tuple(map(int, ray.__version__.split(".")[:2])) < MIN_VERSION:
        raise SettingsError(
            f"Ray {ray.__version__} lets anybody use a cluster; run: pip install 'filmcolor[ray]'"
        )
    return ray


def _find_address() -> str:
    """Return host and port of the cluster; raises SettingsError when none is found."""
    given = os.environ.get("RAY_ADDRESS", "")
    if "://" in given:
        raise SettingsError(
            f"RAY_ADDRESS is {given}; set it to HOST:PORT of the cluster, as `ray start` prints "
            "it, or run this command with `ray job submit`"
        )
    services = import_module("ray._private.services")
    try:
        address: str | None = services.canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError, OSError) as error:
        where = f"RAY_ADDRESS is {given}: no such cluster" if given else "no Ray cluster runs here"
        raise SettingsError(f"{where}; {_START}") from error
    if address is None:  # RAY_ADDRESS=local
        raise SettingsError(f"RAY_ADDRESS is {given}; {_START}")
    return address


def _check_access(address: str) -> None:
    """Raise SettingsError when a cluster is out of reach, lets anybody in, or not us."""
    token = _read_token()
    if _uses_tls():  # without certificates nothing can be asked
        is_open = os.environ.get("RAY_AUTH_MODE", "").lower() != "token"
    else:
        is_open = _is_let_in(address, "")
    if is_open and not _is_loopback(address):
        raise SettingsError(
            f"the Ray cluster at {address} asks for no token, so anybody who reaches it can run "
            "programs on it; start it again with a token: `ray get-auth-token --generate`, copy "
            "~/.ray/auth_token to all nodes, `export RAY_AUTH_MODE=token` on them and here"
        )
    if not is_open and not _uses_tls() and not _is_let_in(address, token):
        found = "the token here is another" if token else "there is none here"
        raise SettingsError(
            f"the Ray cluster at {address} asks for a token, and {found}; `export "
            "RAY_AUTH_MODE=token`, and put what `ray get-auth-token` prints on its head node into "
            "~/.ray/auth_token"
        )


def _is_let_in(address: str, token: str) -> bool:
    """Return whether a cluster answers a call with this token, "" for none.

    Raises SettingsError when nothing answers.
    """
    grpc = import_module("grpc")
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(_ANY_CALL)(b"", timeout=_PATIENCE_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise SettingsError(f"no Ray cluster answers at {address}; {_START}") from error
    return True


def _read_token() -> str:
    """Return the token of this user, "" without one; from where Ray takes it."""
    if token := os.environ.get("RAY_AUTH_TOKEN", ""):
        return token.strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _uses_tls() -> bool:
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Keep Ray from printing on stdout when a node is lost, which `log_to_driver` does not."""
    worker = ray._private.worker
    was_enabled = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = was_enabled
