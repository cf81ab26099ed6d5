"""Who may ask the studio anything: a token, the names of its host, and its own page only.

A page of any other site can send requests to 127.0.0.1. What stops it: the token, which only the
person knows who started the studio; the cookie that holds it afterwards, which browsers keep from
other sites; the check of `Origin`, because cookies of one host are shared by all its ports; and the
check of `Host`, because a site can give its own name the address 127.0.0.1 ("DNS rebinding").
"""

import ipaddress
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("filmcolor.studio")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE = frozenset({"same-origin", "none"})  # of Sec-Fetch-Site; "none": typed by the person
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "style-src 'self'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_NO_TOKEN_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="dark light">
<title>filmcolor</title>
<h1>The studio is locked</h1>
<p>Open the address that the terminal printed: it ends in <code>/?token=…</code></p>
</html>
"""


@dataclass(frozen=True)
class Access:
    """What a request must show.

    `token`: at least one character. `hosts`: allowed values of `Host`, with a port ("localhost:80")
    or for any port ("film.example"). `cookie`: its name, which holds the port, because the cookies
    of a host are shared by its ports. `is_any_address`: IP addresses are allowed too.
    """

    token: str
    hosts: frozenset[str]
    cookie: str
    is_any_address: bool = False

    def is_token(self, text: str | None) -> bool:
        """Return whether a text is the token, in a time that does not depend on the text."""
        if not text:
            return False
        return secrets.compare_digest(
            text.encode("utf-8", "surrogatepass"), self.token.encode("utf-8", "surrogatepass")
        )

    def is_known(self, headers: Headers) -> bool:
        """Return whether a request has the cookie, or the token in its header."""
        scheme, _, text = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(text.strip()):
            return True
        return self.is_token(cookie_parser(headers.get("cookie", "")).get(self.cookie))

    def is_host(self, host: str) -> bool:
        """Return whether a value of `Host` is one of the server's own."""
        host = host.lower()
        name = _without_port(host)
        if host in self.hosts or name in self.hosts:
            return True
        return self.is_any_address and _is_address(name)


def make_access(
    token: str, host: str, port: int, more_hosts: Iterable[str] = (), names: Iterable[str] = ()
) -> Access:
    """Return the rules of a server that listens on `host` and `port`.

    On a loopback address, its own names at its own port. On another, also `names` of the machine,
    and all IP addresses, whatever the port: it may be another one outside a container, and a name
    that is an address cannot be given another address. `more_hosts`: what else is allowed, with or
    without a port.
    """
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    if not is_loopback(host):
        hosts |= {"localhost", *(name.lower() for name in names if name)}
        if not _is_address(host):
            hosts.add(host.lower())
    hosts |= {name.lower() for name in more_hosts}
    return Access(token, frozenset(hosts), f"filmcolor-{port}", not is_loopback(host))


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on a host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class Guard:
    """Answers requests that may not reach the application, and adds headers to all answers.

    An error that nothing else caught is logged with its traceback; the application answers it.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":  # nothing else is served
            return
        is_answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)
            if message["type"] == "http.response.body":
                is_answered = not message.get("more_body", False)

        refusal = self._refusal(scope)
        try:
            await (refusal or self._app)(scope, receive, send_with_headers)
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if not is_answered:
                raise  # the connection is closed, so that the answer is not taken for whole

    def _refusal(self, scope: Scope) -> Response | None:
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.is_host(hosts[0]):
            return error_answer(
                403, "the studio does not answer to this name; start it with --allow-host NAME"
            )
        if not _is_own_site(headers, hosts[0], method, path):
            return error_answer(403, "only the studio's own page may ask this")
        is_entrance = path == "/" and method in ("GET", "HEAD")
        token = QueryParams(scope["query_string"]).get("token") if is_entrance else None
        is_known = self._access.is_known(headers)
        if token is not None and (is_known or self._access.is_token(token)):
            answer = RedirectResponse("/", 303)
            if not is_known:
                answer.set_cookie(
                    self._access.cookie, self._access.token, httponly=True, samesite="strict"
                )
            return answer
        if is_known:
            return None
        if path.startswith("/api/"):
            return error_answer(401, "no token; open the address that the terminal printed")
        return HTMLResponse(_NO_TOKEN_PAGE, 401)


def error_answer(status: int, message: str) -> Response:
    """Return the answer of a request that failed: one line with the remedy."""
    return JSONResponse({"error": message}, status)


def _is_own_site(headers: Headers, host: str, method: str, path: str) -> bool:
    """Return whether a request comes from the studio's page, a program, or the address bar.

    Links of other sites may lead to the page itself; the cookie is not sent with them.
    """
    if method in SAFE_METHODS and path == "/":
        return True
    if headers.get("sec-fetch-site", "none") not in _OWN_SITE:
        return False
    if method in SAFE_METHODS:
        return True
    origins = headers.getlist("origin")
    return all(
        origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
        for origin in origins
    )
