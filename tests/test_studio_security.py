"""Who may ask the studio: its token, its cookie, its host's names, its own page."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from studio_client import (
    ADDRESS,
    KNOWN,
    PORT,
    REQUESTS,
    TOKEN,
    make_client,
    make_fake,
    make_library,
    send,
)

from filmcolor.studio.security import is_loopback, make_access

API, POST = "/api/jobs", "/api/films/f1/undo"  # one request that reads, one that changes


@pytest.fixture
def studio(tmp_path: Path) -> Any:
    return make_fake(tmp_path).studio


@pytest.mark.parametrize("request_line", REQUESTS)
def test_every_request_needs_the_token(studio: Any, request_line: str) -> None:
    answer = send(make_client(studio), request_line)
    assert answer.status_code == 401
    assert list(answer.json()) == ["error"]
    assert studio.calls == []


@pytest.mark.parametrize("path", ["/", "/index.html", "/js/main.js", "/nothing", "/favicon.svg"])
def test_the_page_needs_the_token_too(studio: Any, path: str) -> None:
    answer = make_client(studio).get(path)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "terminal" in answer.text
    assert "<script" not in answer.text


WRONG_TOKENS = ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "tökén", "%00", "\ud800"]


@pytest.mark.parametrize("token", WRONG_TOKENS)
def test_wrong_tokens_are_refused_everywhere(studio: Any, token: str) -> None:
    client = make_client(studio)
    query = token.encode("utf-8", "surrogatepass").hex(" ").replace(" ", "%")
    assert client.get(f"/?token=%{query}" if query else "/?token=").status_code == 401
    header = f"Bearer {token}".encode("utf-8", "surrogatepass")
    assert client.get(API, headers={b"Authorization": header}).status_code == 401
    cookie = f"filmcolor-{PORT}={token}".encode("utf-8", "surrogatepass")
    answer = client.get(API, headers={b"Cookie": cookie})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_the_first_address_leads_to_the_page_and_leaves_a_cookie(studio: Any) -> None:
    client = make_client(studio)
    answer = client.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    name_and_value, *flags = answer.headers["set-cookie"].split("; ")
    assert name_and_value == f"filmcolor-{PORT}={TOKEN}"
    assert {flag.lower() for flag in flags} == {"httponly", "path=/", "samesite=strict"}
    page = client.get("/")  # with the cookie
    assert page.status_code == 200
    assert "<script" in page.text
    assert client.get(API).status_code == 200


def test_the_token_in_an_address_counts_for_the_first_address_only(studio: Any) -> None:
    client = make_client(studio)
    assert client.get(f"{API}?token={TOKEN}").status_code == 401
    assert client.get(f"/index.html?token={TOKEN}").status_code == 401
    assert client.post(f"/?token={TOKEN}").status_code == 401


def test_an_old_address_leads_to_the_page_for_who_has_the_cookie(studio: Any) -> None:
    answer = make_client(studio, **KNOWN).get("/?token=of-yesterday")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "set-cookie" not in answer.headers


def test_the_cookie_of_another_port_does_not_count(studio: Any) -> None:
    answer = make_client(studio, Cookie=f"filmcolor-{PORT + 1}={TOKEN}").get(API)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        f"127.0.0.1:{PORT + 1}",
        f"127.0.0.1.evil.example:{PORT}",
        f"localhost.:{PORT}",
        f"evil@localhost:{PORT}",
        f"10.0.0.1:{PORT}",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", API, f"/?token={TOKEN}"])
def test_another_host_is_refused_even_with_the_token(studio: Any, host: str, path: str) -> None:
    answer = make_client(studio, **KNOWN).get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_names_of_this_machine_are_known(studio: Any, host: str) -> None:
    answer = make_client(studio, **KNOWN).get(API, headers={"Host": f"{host}:{PORT}"})
    assert answer.status_code == 200


def test_other_names_can_be_allowed(studio: Any) -> None:
    client = make_client(studio, more_hosts=("Film.example", "other.example:99"), **KNOWN)
    hosts = ("film.example", "film.example:81", "other.example:99", "other.example", "10.0.0.1")
    statuses = [client.get(API, headers={"Host": host}).status_code for host in hosts]
    assert statuses == [200, 200, 200, 403, 403]


def test_a_server_for_others_answers_to_addresses_and_its_names() -> None:
    access = make_access(TOKEN, "0.0.0.0", PORT, names=("Cutting-Room",))
    for host in ("192.168.0.7:9000", "[fe80::1]:80", "localhost:9000", "cutting-room", "127.0.0.1"):
        assert access.is_host(host), host
    for host in ("evil.example", "evil.example:80", "", "192.168.0.7.evil.example", "*"):
        assert not access.is_host(host), host


def test_a_server_at_a_name_answers_to_it() -> None:
    access = make_access(TOKEN, "cutting-room.local", PORT)
    assert access.is_host(f"cutting-room.local:{PORT}")
    assert not access.is_host(f"evil.example:{PORT}")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.7", False),
        ("cutting-room", False),
    ],
)
def test_loopback_hosts_are_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": f"http://127.0.0.1:{PORT + 1}"},
    {"Origin": f"http://localhost:{PORT}"},  # the same machine by another name
    {"Origin": f"ftp://127.0.0.1:{PORT}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": ADDRESS},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_other_sites_change_nothing(studio: Any, headers: dict[str, str]) -> None:
    client = make_client(studio)
    client.get(f"/?token={TOKEN}")  # the browser has the cookie
    for method, path in (
        ("POST", POST),
        ("DELETE", "/api/films/f1"),
        ("PUT", POST),
        ("PATCH", "/"),
    ):
        assert client.request(method, path, headers=headers).status_code == 403
    assert studio.calls == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_read_nothing(studio: Any, site: str) -> None:
    client = make_client(studio, **KNOWN)
    for path in (API, "/api/films/f1/frames/0", "/js/main.js"):
        answer = client.get(path, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_a_link_of_another_site_leads_to_the_page(studio: Any) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert make_client(studio, **KNOWN).get("/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_the_page_and_programs_may_change_things(studio: Any, headers: dict[str, str]) -> None:
    answer = make_client(studio, **KNOWN).post(POST, headers=headers)
    assert answer.status_code == 200
    assert studio.calls[-1] == ("corrections.undo",)


def test_no_site_is_told_that_it_may_read(studio: Any) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = make_client(studio, **KNOWN).options(POST, headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("path", "known"), [("/", True), ("/", False), (API, True), (API, False), ("/js/api.js", True)]
)
def test_all_answers_have_the_headers_that_keep_browsers_strict(
    studio: Any, path: str, known: bool
) -> None:
    headers = make_client(studio, **(KNOWN if known else {})).get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert not any(word in str(policy) for word in ("unsafe", "http", "*"))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_the_page_uses_no_script_or_style_that_its_policy_forbids() -> None:
    from filmcolor.studio.app import PAGE_FOLDER

    page = (PAGE_FOLDER / "index.html").read_text(encoding="utf-8")
    for forbidden in ("style=", "<style", "onclick=", "javascript:", "http://", "https://"):
        assert forbidden not in page
    assert page.count("<script") == page.count('<script type="module" src=')


def test_a_bug_is_logged_and_not_sent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake = make_fake(tmp_path, state=ValueError("a secret of the machine"))
    answer = fake.client.get(API)
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert "secret" not in answer.text
    assert "a secret of the machine" in caplog.text
    assert "Traceback" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_token_of_an_upload_is_checked_before_its_body(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    studio = make_fake(tmp_path).studio
    sent = []

    def body() -> Any:
        sent.append(1)
        yield b"bytes"

    answer = make_client(studio).post("/api/uploads?name=a.mp4", content=body())
    assert answer.status_code == 401
    assert not library.upload_folder.exists()
