"""The studio as a person uses it: journeys in a real browser, with the pixels that it shows."""

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import studio_browser
from PIL import Image
from studio_browser import FLAGS, HEIGHT, SHOT_FRAMES, THINGS, WAIT, WIDTH, Picture, Studio, Watch

from filmcolor.output.verify import verify

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("starlette", reason="filmcolor[studio] is not installed")
CHROMIUM = studio_browser.chromium_path()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; name one with $CHROMIUM"),
]
expect = playwright_api.expect
expect.set_options(timeout=WAIT)
DISC, SQUARE, TRIANGLE = THINGS
RED, BLUE = "#c01818", "#1838c0"


# ---------------------------------------------------------------- a browser, a studio, a film


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def film(folder: Path) -> Path:
    return studio_browser.film_with_sound(folder / "three shots.mp4")


@pytest.fixture(scope="module")
def studio(folder: Path, film: Path) -> Iterator[Studio]:
    with studio_browser.running(folder, film) as studio:
        yield studio
    assert "".join(studio.errors) == ""


@pytest.fixture(scope="module")
def film_path(studio: Studio, film: Path) -> str:
    """The film's address in the API."""
    return f"/api/films/{studio.film_id(film)}"


Open = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any, studio: Studio) -> Iterator[Open]:
    """Open a page of the studio in a browser that nobody used before."""
    with new_pages(chromium, studio) as open_one:
        yield open_one


@contextmanager
def new_pages(chromium: Any, studio: Studio) -> Iterator[Open]:
    """Yield a function that opens pages; check afterwards that none logged an error."""
    watch = Watch(studio.root)
    contexts = []

    def open_one(screen: str = "#/", size: tuple[int, int] = (1280, 800), **options: Any) -> Any:
        viewport = {"width": size[0], "height": size[1]}
        context = chromium.new_context(viewport=viewport, accept_downloads=True, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT)
        page = context.new_page()
        watch.over(page)
        page.watch = watch
        page.goto(studio.address + screen)
        expect(page.locator("#main h1")).to_be_visible()
        return page

    try:
        yield open_one
        watch.check()
    finally:
        for context in contexts:
            context.close()


@pytest.fixture
def open_film(open_page: Open, studio: Studio, film_path: str) -> Iterator[Open]:
    """Open the film, and take all corrections back at the end."""

    def open_it(**options: Any) -> Any:
        page = open_page(f"#/film/{film_path.rpartition('/')[2]}", **options)
        expect(page.get_by_role("option")).to_have_count(len(THINGS))
        page.picture = Picture(page)
        return page

    yield open_it
    corrections = studio.get(f"{film_path}/corrections")
    for frame in corrections["strokes"]:
        studio.ask("DELETE", f"{film_path}/frames/{frame}/strokes")
    for frame in corrections["references"]:
        studio.ask("DELETE", f"{film_path}/frames/{frame}/reference")
    default = {"grade": dict.fromkeys(("saturation", "warmth", "skin_protect"))}
    numbers = [number for grade in corrections["grades"] for number in grade["shots"]]
    for shots in (None, numbers):
        if shots != []:
            studio.ask("PUT", f"{film_path}/grades", {"shots": shots, **default})


def frame_bytes(studio: Studio, film_path: str, number: int, side: str = "color") -> bytes:
    return studio.ask("GET", f"{film_path}/frames/{number}?side={side}")


def shown_frame(page: Any) -> int:
    return int(page.get_by_label("Frame number").input_value())


def put_divider(page: Any, percent: int) -> None:
    """Move the divider to an end with the keyboard."""
    handle = page.get_by_test_id("divider")
    handle.press("Home" if percent == 0 else "End")
    expect(handle).to_have_attribute("aria-valuenow", str(percent))


def wait_for_frame(page: Any, studio: Studio, film_path: str, side: str = "color") -> np.ndarray:
    """Return what the picture shows, once that is the whole frame as the API gives it."""
    put_divider(page, 0 if side == "color" else 100)
    shown = np.zeros((HEIGHT, WIDTH, 3), int)

    def is_there() -> bool:
        nonlocal shown
        data = frame_bytes(studio, film_path, shown_frame(page), side)
        shown = page.picture.read()
        difference = inside(shown) - inside(studio_browser.pixels(data))
        return bool(np.abs(difference).mean() < 3)

    page.mouse.move(2, 2)
    page.get_by_label("Show strokes").uncheck()
    studio_browser.wait_until(is_there)
    return shown


def inside(picture: np.ndarray) -> np.ndarray:
    """Return a picture without the borders that the divider's grip may cover at its ends."""
    return picture[8:-8, 24:-24]


def redness(rgb: np.ndarray, where: np.ndarray) -> float:
    """Return how much more red than green and blue some pixels are, code values."""
    red, green, blue = (rgb[..., n][where].mean() for n in range(3))
    return float(red - max(green, blue))


def go_to_shot(page: Any, number: int) -> None:
    option = page.get_by_role("option", name=re.compile(f"Shot {number},"))
    option.click()
    expect(option).to_have_attribute("aria-selected", "true")


def choose_brush(page: Any, color: str) -> None:
    page.get_by_test_id("color").fill(color)
    expect(page.get_by_test_id("tool-brush")).to_have_attribute("aria-pressed", "true")


def paint(page: Any, thing: studio_browser.Thing, reach: int = 18) -> None:
    """Paint a stroke on an object, and wait until the studio has it."""
    x, y = thing.center
    with page.expect_response(
        lambda r: r.request.method == "POST" and "strokes" in r.url
    ) as answer:
        page.picture.drag((x - reach, y + 4), (x, y + 6), (x + reach, y + 4))
    assert answer.value.status == 200, answer.value.text()


def drop(page: Any, selector: str, name: str, data: bytes, kind: str) -> None:
    """Drop a file onto an element, as a person does from the file manager."""
    file = {"name": name, "kind": kind, "data": base64.b64encode(data).decode()}
    transfer = page.evaluate_handle(
        """({name, kind, data}) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, {type: kind}));
            return transfer;
        }""",
        file,
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(selector, event, {"dataTransfer": transfer})


# ---------------------------------------------------------------- opening and looking


def test_the_address_opens_the_film_and_nothing_else_does(
    open_page: Open, chromium: Any, studio: Studio, film_path: str, film: Path
) -> None:
    page = open_page("")
    expect(page.get_by_role("heading", level=1)).to_have_text(film.name)
    facts = page.locator(".film-facts")
    expect(facts).to_contain_text(f"{WIDTH} × {HEIGHT}")
    expect(facts).to_contain_text("24 frames")
    assert "token" not in page.url

    context = chromium.new_context()
    stranger = context.new_page()
    answer = stranger.goto(studio.root + "/")
    assert answer.status == 401
    expect(stranger.get_by_role("heading")).to_have_text("The studio is locked")
    assert stranger.goto(studio.root + film_path).status == 401
    assert stranger.goto(f"{studio.root}/?token={'a' * 43}").status in (401, 403)
    context.close()


def test_thumbnails_come_in_grey_and_then_in_color(
    open_film: Open, studio: Studio, film_path: str
) -> None:
    page = open_film()
    options = page.get_by_role("option")
    names = [options.nth(n).get_attribute("aria-label") for n in range(3)]
    assert names == ["Shot 1, 0:00 to 0:02", "Shot 2, 0:02 to 0:04", "Shot 3, 0:04 to 0:06"]
    for number, thing in enumerate(THINGS):
        option = options.nth(number)
        expect(option).to_have_attribute("data-side", "color")
        picture = option.locator("img")
        studio_browser.wait_until(
            lambda picture=picture: picture.evaluate(
                "image => image.complete && image.naturalWidth"
            )
        )
        small = studio_browser.pixels(picture.screenshot())
        mask = np.asarray(
            Image.fromarray(thing.mask(6)).resize(small.shape[1::-1], Image.Resampling.NEAREST)
        )
        outside = np.asarray(
            Image.fromarray(~thing.mask(-6)).resize(small.shape[1::-1], Image.Resampling.NEAREST)
        )
        contrast = small[mask].mean() - small[outside].mean()
        assert contrast * (thing.luma - thing.background) > 0  # it is this shot's picture
        assert studio_browser.saturation(small).mean() > 2
    data = studio.ask("GET", f"{film_path}/shots/1/thumbnail?side=grey")
    assert studio_browser.saturation(studio_browser.pixels(data)).max() <= 2


def test_the_divider_shows_grey_on_the_left_and_color_on_the_right(
    open_film: Open, studio: Studio, film_path: str
) -> None:
    page = open_film()
    wait_for_frame(page, studio, film_path)
    handle, picture = page.get_by_test_id("divider"), page.picture

    def check(percent: int) -> None:
        expect(handle).to_have_attribute("aria-valuenow", str(percent))
        place = round(percent / 100 * WIDTH)

        def is_split() -> bool:
            colors = studio_browser.saturation(picture.read())
            left, right = colors[8:-8, : max(0, place - 16)], colors[8:-8, place + 16 :]
            return (not left.size or left.max() <= 8) and (not right.size or right.mean() > 4)

        studio_browser.wait_until(is_split)

    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("c")  # all grey
    check(100)
    page.keyboard.press("c")  # both
    check(50)
    handle.focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    check(30)

    box = handle.bounding_box()
    grip = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
    page.mouse.move(*grip)
    page.mouse.down()
    page.mouse.move(picture.at(0.8 * WIDTH, 0)[0], grip[1], steps=8)
    page.mouse.up()
    check(80)


def test_a_finger_moves_the_divider(open_film: Open, studio: Studio, film_path: str) -> None:
    page = open_film(size=(800, 900), has_touch=True, is_mobile=True)
    handle, picture = page.get_by_test_id("divider"), page.picture
    touch = page.context.new_cdp_session(page)
    y = picture.at(0, HEIGHT / 2)[1]

    def send(kind: str, x: float | None = None) -> None:
        points = [] if x is None else [{"x": picture.at(x, 0)[0], "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", WIDTH / 2)
    for share in (0.45, 0.35, 0.25):
        send("touchMove", share * WIDTH)
    send("touchEnd")
    expect(handle).to_have_attribute("aria-valuenow", "25")


def test_scrubbing_shows_the_frames_of_the_api(
    open_film: Open, studio: Studio, film_path: str
) -> None:
    page = open_film()
    first = wait_for_frame(page, studio, film_path)
    scrub = page.get_by_test_id("scrub")
    box = scrub.bounding_box()
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    studio_browser.wait_until(lambda: shown_frame(page) > 0.8 * SHOT_FRAMES)
    assert shown_frame(page) < SHOT_FRAMES
    wait_for_frame(page, studio, film_path)

    page.get_by_label("Frame number").fill(str(2 * SHOT_FRAMES + 7))
    page.get_by_label("Frame number").press("Enter")
    expect(page.get_by_role("option", name=re.compile("Shot 3"))).to_have_attribute(
        "aria-selected", "true"
    )
    third = wait_for_frame(page, studio, film_path)
    assert np.abs(third - first).mean() > 10
    grey = wait_for_frame(page, studio, film_path, "grey")
    assert studio_browser.saturation(inside(grey)).max() <= 8
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    studio_browser.wait_until(lambda: shown_frame(page) == 2 * SHOT_FRAMES + 8)


# ---------------------------------------------------------------- correcting


def test_a_red_stroke_reddens_its_object_and_no_other_shot(
    open_film: Open, studio: Studio, film_path: str
) -> None:
    page = open_film()
    others = (SHOT_FRAMES, 2 * SHOT_FRAMES + 20)
    before = [frame_bytes(studio, film_path, number) for number in others]
    go_to_shot(page, 1)
    grey = wait_for_frame(page, studio, film_path, "grey")
    plain = wait_for_frame(page, studio, film_path)
    choose_brush(page, RED)
    paint(page, DISC)
    shown = wait_for_frame(page, studio, film_path)
    assert redness(shown, DISC.mask(10)) > 60
    assert redness(plain, DISC.mask(10)) < 40
    assert np.abs(shown - plain)[~DISC.mask(-12)].mean() < 3
    assert np.abs(shown.mean(axis=2) - grey.mean(axis=2))[DISC.mask(10)].mean() < 60

    number = shown_frame(page)
    for other in (0, SHOT_FRAMES - 1):  # the shot follows
        frame = studio_browser.pixels(frame_bytes(studio, film_path, other))
        assert redness(frame, DISC.mask(10)) > 60
    assert [frame_bytes(studio, film_path, n) for n in others] == before
    expect(page.get_by_role("option", name=re.compile("Shot 1.*corrected"))).to_be_visible()
    corrections = studio.get(f"{film_path}/corrections")
    assert corrections["strokes"] == [number]
    hints = Path(corrections["folder"]) / "hints" / f"frame-{number:06d}.png"
    assert hints.is_file()
    expect(page.get_by_role("region", name="In a terminal")).to_contain_text("--hints")


def test_undo_gives_the_same_bytes_back_and_redo_too(
    open_film: Open, studio: Studio, film_path: str
) -> None:
    page = open_film()
    go_to_shot(page, 2)
    wait_for_frame(page, studio, film_path)
    number = shown_frame(page)
    folder = Path(studio.get(f"{film_path}/corrections")["folder"])

    def state() -> tuple[bytes, dict[str, bytes]]:
        files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.png")}
        return frame_bytes(studio, film_path, number), files

    undo, redo = page.get_by_test_id("undo"), page.get_by_test_id("redo")
    plain = state()
    choose_brush(page, BLUE)
    paint(page, SQUARE)
    painted = state()
    assert painted[0] != plain[0]
    assert list(painted[1]) == [f"hints/frame-{number:06d}.png"]
    expect(undo).to_be_enabled()
    expect(redo).to_be_disabled()

    undo.click()
    expect(redo).to_be_enabled()
    assert state() == plain
    wait_for_frame(page, studio, film_path)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+Shift+z")
    expect(redo).to_be_disabled()
    assert state() == painted
    assert redness(wait_for_frame(page, studio, film_path), SQUARE.mask(10)) < -20


def test_a_slider_changes_its_shot_or_all(open_film: Open, studio: Studio, film_path: str) -> None:
    page = open_film()
    frames = [n * SHOT_FRAMES + 20 for n in range(3)]

    def all_bytes() -> list[bytes]:
        return [frame_bytes(studio, film_path, n) for n in frames]

    def colors(data: bytes) -> float:
        return float(studio_browser.saturation(studio_browser.pixels(data)).mean())

    def set_saturation(value: str) -> None:
        with page.expect_response(lambda r: r.url.endswith("/grades")) as answer:
            page.get_by_label("Saturation, number").fill(value)
            page.get_by_label("Saturation, number").press("Enter")
        assert answer.value.status == 200

    plain = all_bytes()
    go_to_shot(page, 2)
    wait_for_frame(page, studio, film_path)
    set_saturation("0")
    one = all_bytes()
    assert (one[0], one[2]) == (plain[0], plain[2])
    assert colors(one[1]) <= 1 < colors(plain[1])
    shown = wait_for_frame(page, studio, film_path)
    assert studio_browser.saturation(inside(shown)).max() <= 8

    page.get_by_role("radio", name="whole film").check()
    slider = page.get_by_test_id("grade-saturation")
    slider.focus()
    with page.expect_response(lambda r: r.url.endswith("/grades")):
        page.keyboard.press("End")
    every = all_bytes()
    assert every[1] == one[1]  # its own value stays
    assert colors(every[0]) > 1.2 * colors(plain[0])
    assert colors(every[2]) > 1.2 * colors(plain[2])
    page.get_by_role("radio", name="this shot").check()
    with page.expect_response(lambda r: r.url.endswith("/grades")):
        page.get_by_role("button", name="Reset saturation").click()
    assert colors(all_bytes()[1]) > colors(plain[1])


def test_a_picture_dropped_on_a_frame_gives_its_colors(
    open_film: Open, studio: Studio, film_path: str
) -> None:
    page = open_film()
    go_to_shot(page, 3)
    wait_for_frame(page, studio, film_path)
    number = shown_frame(page)
    grey = studio_browser.pixels(frame_bytes(studio, film_path, number, "grey")).astype(float)
    tint = np.where(TRIANGLE.mask()[..., None], [-60.0, 10.0, 60.0], [20.0, 0.0, -20.0])
    file = BytesIO()
    Image.fromarray(np.clip(grey + tint, 0, 255).astype(np.uint8)).save(file, "PNG")

    drop(page, "[data-testid=picture]", "painted.png", file.getvalue(), "image/png")
    expect(page.get_by_text("takes its colours from painted.png")).to_be_visible()
    shown = wait_for_frame(page, studio, film_path)
    assert redness(shown, TRIANGLE.mask(10)) < -25
    assert redness(shown, ~TRIANGLE.mask(-14)) > 3
    assert studio.get(f"{film_path}/corrections")["references"] == [number]
    expect(page.get_by_role("button", name="Remove it")).to_be_visible()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("button", name="Remove it")).to_be_hidden()
    assert studio.get(f"{film_path}/corrections")["references"] == []


def test_two_tabs_keep_the_strokes_of_both(open_film: Open, studio: Studio, film_path: str) -> None:
    one, two = open_film(), open_film()
    for page, color in ((one, RED), (two, BLUE)):
        go_to_shot(page, 1)
        wait_for_frame(page, studio, film_path)
        choose_brush(page, color)
    number = shown_frame(one)
    assert shown_frame(two) == number
    paint(one, DISC, reach=10)
    ground = studio_browser.Thing(((240, 180), (300, 180), (300, 220), (240, 220)), 0, 0)
    paint(two, ground, reach=14)
    png = studio.ask("GET", f"{film_path}/frames/{number}/strokes")
    with Image.open(BytesIO(png)) as image:
        layer = np.asarray(image.convert("RGBA")).astype(int)
    for thing, channel in ((DISC, 0), (ground, 2)):
        painted = layer[(layer[..., 3] > 200) & thing.mask()]
        assert len(painted) > 20
        assert (painted[:, channel] > 150).all()
    shown = [wait_for_frame(page, studio, film_path) for page in (one, two)]
    for frame in shown:
        assert redness(frame, DISC.mask(12)) > 60
        assert redness(frame, ground.mask(4)) < -15


def test_a_pen_paints_as_wide_as_it_is_pressed(
    open_film: Open, studio: Studio, film_path: str
) -> None:
    page = open_film()
    go_to_shot(page, 2)
    wait_for_frame(page, studio, film_path)
    choose_brush(page, BLUE)
    page.get_by_test_id("brush-size").fill("70")
    pen = page.context.new_cdp_session(page)

    def draw(y: float, force: float) -> None:
        places = [page.picture.at(x, y) for x in (195, 210, 225, 240, 255)]
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 2), "mouseReleased"]
        with page.expect_response(lambda r: r.request.method == "POST" and "strokes" in r.url):
            for kind, (left, top) in zip(kinds, places, strict=True):
                event = {"x": left, "y": top, "button": "left", "buttons": 1, "clickCount": 1}
                event |= {"pointerType": "pen", "force": force}
                pen.send("Input.dispatchMouseEvent", {"type": kind, **event})

    draw(90, 0.3)
    draw(150, 0.9)
    png = studio.ask("GET", f"{film_path}/frames/{shown_frame(page)}/strokes")
    with Image.open(BytesIO(png)) as image:
        opacity = np.asarray(image.getchannel("A")) > 128
    thin, thick = (int(part.any(axis=1).sum()) for part in (opacity[:120], opacity[120:]))
    assert 2.0 * thin < thick < 4.5 * thin


def test_the_picture_is_enlarged_and_moved(open_film: Open, studio: Studio, film_path: str) -> None:
    page = open_film()
    go_to_shot(page, 2)
    whole = wait_for_frame(page, studio, film_path)
    middle = WIDTH / 2, HEIGHT / 2
    page.mouse.move(*page.picture.at(*middle))
    page.mouse.wheel(0, -900)  # about five times as large around the pointer

    def color_at(x: float, y: float) -> np.ndarray:
        return page.picture.read()[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3]

    inside_square = whole[120, 225].mean()  # now in the middle of the right half
    studio_browser.wait_until(lambda: abs(color_at(300, 120).mean() - inside_square) < 12)
    page.mouse.down()
    page.mouse.move(*page.picture.at(60, 120), steps=5)
    page.mouse.up()
    studio_browser.wait_until(lambda: abs(color_at(160, 120).mean() - inside_square) < 12)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("0")
    assert np.abs(wait_for_frame(page, studio, film_path) - whole).mean() < 3


# ---------------------------------------------------------------- playing and running


def test_a_range_plays_with_its_sound(open_film: Open, studio: Studio, film_path: str) -> None:
    page = open_film()
    go_to_shot(page, 2)
    wait_for_frame(page, studio, film_path)
    page.get_by_test_id("play").click()
    video = page.get_by_test_id("clip")
    state = """video => ({
        time: video.currentTime, width: video.videoWidth, height: video.videoHeight,
        length: video.duration, sound: video.webkitAudioDecodedByteCount ?? 0,
    })"""
    studio_browser.wait_until(lambda: video.evaluate(state)["time"] > 0.4)
    found = video.evaluate(state)
    assert (found["width"], found["height"]) == (2 * WIDTH, HEIGHT)
    assert abs(found["length"] - SHOT_FRAMES / 24) < 0.1
    assert found["sound"] > 1000
    halves = studio_browser.pixels(
        base64.b64decode(
            video.evaluate(
                """video => {
                    const canvas = document.createElement("canvas");
                    canvas.width = video.videoWidth;
                    canvas.height = video.videoHeight;
                    canvas.getContext("2d").drawImage(video, 0, 0);
                    return canvas.toDataURL("image/png").split(",")[1];
                }"""
            )
        )
    )
    grey, color = halves[:, :WIDTH], halves[:, WIDTH:]
    assert studio_browser.saturation(grey).mean() < 3 < studio_browser.saturation(color).mean()
    assert np.abs(grey.mean(axis=2) - color.mean(axis=2)).mean() < 12  # in step
    page.keyboard.press("Space")
    studio_browser.wait_until(lambda: video.evaluate("video => video.paused"))
    assert SHOT_FRAMES <= shown_frame(page) < 2 * SHOT_FRAMES


def test_a_film_is_colored_verified_played_and_downloaded(
    open_film: Open, studio: Studio, film: Path
) -> None:
    page = open_film()
    page.get_by_role("button", name="Colour the film…").click()
    dialog = page.get_by_role("dialog", name=f"Colour {film.name}")
    expect(dialog.get_by_role("radio", name=re.compile("share"))).to_be_checked()
    output = film.with_name("three shots.color.mp4")
    expect(dialog.get_by_label("Save as")).to_have_value(str(output))
    dialog.get_by_role("button", name="Start").click()

    card = page.get_by_role("list", name="Jobs").get_by_role("listitem")
    bar = page.get_by_role("progressbar", name=f"Progress of {film.name}")
    studio_browser.wait_until(
        lambda: (
            (bar.count() and bar.evaluate("bar => bar.value") > 0)
            or card.get_by_text("Finished").count()
        )
    )
    expect(card).to_contain_text("Finished", timeout=3 * WAIT)
    job = studio.get("/api/jobs")["jobs"][-1]
    assert job["state"] == "done"
    assert job["verdict"]
    expect(card).to_contain_text(job["verdict"])
    verify(film, output)

    card.get_by_role("button", name=re.compile("^Play")).click()
    video = card.locator("video")
    studio_browser.wait_until(lambda: video.evaluate("video => video.currentTime") > 0.3)
    assert video.evaluate("video => video.videoWidth") == WIDTH
    video.evaluate("video => video.pause()")
    with page.expect_download() as download:
        card.get_by_role("link", name=re.compile("^Download")).click()
    assert Path(download.value.path()).read_bytes() == output.read_bytes()
    assert download.value.suggested_filename == output.name
    card.get_by_role("button", name=re.compile("^Remove")).click()
    expect(page.get_by_text("Nothing is in the queue")).to_be_visible()
    assert output.is_file()


def test_a_killed_studio_goes_on_after_a_restart(
    chromium: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    film = studio_browser.film_with_sound(folder / "long.mp4", 2 * SHOT_FRAMES)
    with (
        studio_browser.running(folder, film) as first,
        new_pages(chromium, first) as open_one,
    ):
        page = open_one("")
        page.watch.allowed += ["ERR_CONNECTION", "Failed to fetch", "ERR_EMPTY_RESPONSE"]
        page.get_by_role("button", name="Colour the film…").click()
        page.get_by_role("dialog").get_by_role("button", name="Start").click()

        def jobs() -> list[dict[str, Any]]:
            return list(first.get("/api/jobs")["jobs"])

        studio_browser.wait_until(lambda: any(job["done"] > 0 for job in jobs()), 60)
        assert [job["state"] for job in jobs()] == ["running"]
        first.process.kill()
        first.process.wait()
        expect(page.get_by_role("alert").filter(has_text="The studio has stopped")).to_be_visible()
    assert not (folder / "long.color.mp4").exists()

    with (
        studio_browser.running(folder, film) as second,
        new_pages(chromium, second) as open_one,
    ):
        page = open_one("#/queue")
        card = page.get_by_role("list", name="Jobs").get_by_role("listitem")
        expect(card).to_have_count(1)
        expect(card).to_contain_text("Finished", timeout=3 * WAIT)
    verify(film, folder / "long.color.mp4")
    assert len(media.packets(folder / "long.color.mp4", "video")) == 6 * SHOT_FRAMES


# ---------------------------------------------------------------- photographs and uploads


def photograph() -> bytes:
    """Return a JPEG of the first shot's picture, twice as large."""
    luma = studio_browser.film_lumas(1)[0]
    file = BytesIO()
    Image.fromarray(luma).resize((2 * WIDTH, 2 * HEIGHT)).save(file, "JPEG", quality=95)
    return file.getvalue()


def test_a_photograph_is_dropped_graded_painted_and_downloaded(
    open_page: Open, studio: Studio, folder: Path
) -> None:
    page = open_page("#/photos")
    drop(page, "#main", "portrait.jpg", photograph(), "image/jpeg")
    page.get_by_role("link", name=re.compile("portrait.jpg")).first.click()
    expect(page.get_by_role("heading", name="portrait.jpg")).to_be_visible()
    page.picture = Picture(page, 2 * WIDTH, 2 * HEIGHT)
    page.get_by_test_id("divider").press("Home")
    mask = np.repeat(np.repeat(DISC.mask(12), 2, axis=0), 2, axis=1)

    def shows(condition: Callable[[np.ndarray], bool]) -> None:
        page.mouse.move(2, 2)
        studio_browser.wait_until(lambda: condition(inside(page.picture.read())))

    shows(lambda rgb: studio_browser.saturation(rgb).mean() > 4)
    page.get_by_label("Saturation, number").fill("0")
    page.get_by_label("Saturation, number").press("Enter")
    shows(lambda rgb: studio_browser.saturation(rgb).max() <= 8)

    choose_brush(page, RED)
    x, y = 2 * DISC.center[0], 2 * DISC.center[1]
    page.picture.drag((x - 30, y), (x + 30, y))
    page.get_by_label("Show strokes").uncheck()
    shows(lambda rgb: redness(rgb, inside(mask)) > 60)

    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "portrait.color.jpg"
    data = Path(download.value.path()).read_bytes()
    result = studio_browser.pixels(data)
    assert result.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert redness(result, mask) > 60
    outside = np.repeat(np.repeat(~DISC.mask(-14), 2, axis=0), 2, axis=1)
    assert studio_browser.saturation(result)[outside].mean() < 3
    page.get_by_test_id("undo").click()
    shows(lambda rgb: studio_browser.saturation(rgb).max() <= 8)
    photo = studio.get("/api/photos")["photos"][0]
    studio.ask("DELETE", f"/api/photos/{photo['id']}")


def test_a_dropped_film_is_sent_with_a_progress_bar_and_opened(
    open_page: Open, studio: Studio, film: Path, folder: Path
) -> None:
    page = open_page("#/")
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    speed = {"offline": False, "latency": 0, "downloadThroughput": -1}
    size = film.stat().st_size
    network.send("Network.emulateNetworkConditions", {**speed, "uploadThroughput": size / 2})
    values = page.evaluate_handle(
        """() => {
            const values = [];
            new MutationObserver(() => {
                const bar = document.querySelector(".uploads progress");
                if (bar) values.push(bar.value);
            }).observe(document.body, {subtree: true, childList: true, characterData: true});
            return values;
        }"""
    )
    drop(page, "#main", "dropped.mp4", film.read_bytes(), "video/mp4")
    expect(page.get_by_role("progressbar", name="Sending dropped.mp4")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("dropped.mp4", timeout=2 * WAIT)
    assert (folder / "uploads" / "dropped.mp4").read_bytes() == film.read_bytes()
    assert any(0.0 < value < 1.0 for value in values.json_value())
    identifier = page.url.rpartition("/")[2]
    expect(page.get_by_role("option")).to_have_count(3)
    page.get_by_role("button", name="Close dropped.mp4").click()
    expect(page.get_by_role("heading", level=1)).not_to_have_text("dropped.mp4")
    films = [each["id"] for each in studio.get("/api/films")["films"]]
    assert identifier not in films


def test_what_cannot_be_opened_is_explained(open_page: Open, folder: Path) -> None:
    page = open_page("#/")
    page.watch.allowed += ["404", "422"]
    page.get_by_label("Path of a film").fill(str(folder / "no such film.mp4"))
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="no such film.mp4")).to_be_visible()

    drop(page, "#main", "notes.mp4", b"only words " * 50, "video/mp4")
    row = page.get_by_role("list", name="Files on their way").get_by_role("listitem")
    expect(row).to_contain_text("notes.mp4")
    dismiss = row.get_by_role("button", name="Dismiss notes.mp4")
    expect(dismiss).to_be_visible()
    assert len(row.inner_text()) > len("notes.mp4") + 20  # what is wrong, in words
    dismiss.click()
    expect(row).to_have_count(0)
    drop(page, "#main", "notes.jpg", b"only words", "image/jpeg")
    expect(row).to_contain_text("notes.jpg is not a picture; give a JPEG, PNG or TIFF")
    assert page.url.endswith("#/")


# ---------------------------------------------------------------- sizes, keys, accessibility


SCREENS = ("#/", "film", "#/queue", "#/photos")


def screen_of(name: str, film_path: str) -> str:
    return f"#/film/{film_path.rpartition('/')[2]}" if name == "film" else name


# a control is out of reach if no scrolling of the page brings it into the window
OUT_OF_REACH = """() => {
    const width = document.documentElement.clientWidth;
    const isReached = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const style = getComputedStyle(e);
            if (style.visibility === "hidden" || style.display === "none") return true;
            if (e !== element && /auto|scroll/.test(style.overflowX)) return true;
        }
        const box = element.getBoundingClientRect();
        return box.width === 0 || (box.left >= -1 && box.right <= width + 1);
    };
    return [...document.querySelectorAll("button, a[href], input, [role=slider], select, summary")]
        .filter((element) => !isReached(element) && !element.matches(".skip-link"))
        .map((element) => element.outerHTML.slice(0, 120));
}"""


@pytest.mark.parametrize("screen", SCREENS)
def test_a_phone_shows_every_control_without_scrolling_sideways(
    open_page: Open, film_path: str, screen: str
) -> None:
    page = open_page(screen_of(screen, film_path), size=(360, 640), has_touch=True, is_mobile=True)
    if screen == "film":
        page.get_by_test_id("mend-toggle").click()
        expect(page.get_by_test_id("grade-saturation")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.body.scrollWidth") <= 360
    assert page.evaluate(OUT_OF_REACH) == []


@pytest.mark.parametrize("screen", SCREENS)
def test_a_4k_screen_is_used(open_page: Open, film_path: str, screen: str) -> None:
    page = open_page(screen_of(screen, film_path), size=(3840, 2160))
    assert page.evaluate("document.documentElement.scrollWidth") <= 3840
    assert page.evaluate(OUT_OF_REACH) == []
    if screen == "film":
        box = page.get_by_test_id("picture").bounding_box()
        assert box["height"] > 0.6 * 2160
        text = page.locator(".film-facts").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        assert text >= 16


def test_keys_reach_everything_and_the_focus_is_seen(open_film: Open) -> None:
    page = open_film()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Help")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("undo, redo")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()

    expect(page.get_by_role("group", name="Foliage")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    reached, unseen = set(), []
    for _ in range(150):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const element = document.activeElement;
                if (element === document.body) return null;
                const style = getComputedStyle(element);
                const child = element.firstElementChild;
                const grip = child && getComputedStyle(child);
                const isSeen = [style, grip].some((s) => s && (
                    (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0)
                    || s.boxShadow !== "none"));
                const name = element.dataset.testid || element.getAttribute("aria-label")
                    || element.textContent.trim();
                return {name, isSeen, radio: element.type === "radio"};
            }"""
        )
        if found is None:
            continue
        reached.add(found["name"])
        if not found["isSeen"] and not found["radio"]:
            unseen.append(found["name"])
    assert unseen == []
    everything = page.evaluate(
        """() => [...document.querySelectorAll(
                "button, a[href], input:not([type=radio]), [role=slider], summary, [role=option]")]
            .filter((e) => !e.disabled && e.tabIndex >= 0)
            .filter((e) => e.checkVisibility({checkVisibilityCSS: true}))
            .map((e) => e.dataset.testid || e.getAttribute("aria-label") || e.textContent.trim())"""
    )
    assert set(everything) - reached == set()
    assert {"scrub", "divider", "grade-warmth", "play"} <= set(everything)


def violations(page: Any) -> list[str]:
    """Return what axe-core finds wrong with a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    results = axe.run(page).response
    return [
        f"{found['id']}: {node['target']} {node.get('failureSummary', '')}"
        for found in results["violations"]
        for node in found["nodes"]
    ]


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_wrong(open_page: Open, film_path: str, screen: str) -> None:
    page = open_page(screen_of(screen, film_path))
    if screen == "film":
        expect(page.get_by_role("option")).to_have_count(3)
    assert violations(page) == []


def test_axe_finds_nothing_wrong_in_dialogs_and_on_a_phone(
    open_page: Open, studio: Studio, film_path: str
) -> None:
    page = open_page(screen_of("film", film_path))
    expect(page.get_by_role("option")).to_have_count(3)
    for name in ("Help", "Colour the film…", "Shots like this one…"):
        page.get_by_role("button", name=name, exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        assert violations(page) == [], name
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    page.set_viewport_size({"width": 360, "height": 640})
    page.get_by_role("button", name="Colour the film…").click()
    close = page.get_by_role("button", name="Close", exact=True).bounding_box()
    assert close["x"] > 260
    assert close["y"] < 80
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_test_id("mend-toggle").click()
    assert violations(page) == []
    photo = json.loads(studio.ask("POST", "/api/photos?name=portrait.jpg", photograph()))
    for screen in ("#/photos", f"#/photo/{photo['id']}"):
        page.goto(f"{studio.root}/{screen}")
        expect(page.get_by_text("portrait.jpg").first).to_be_visible()
        assert violations(page) == [], screen
        assert page.evaluate(OUT_OF_REACH) == [], screen
    studio.ask("DELETE", f"/api/photos/{photo['id']}")


def test_other_sites_are_refused(studio: Studio) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        request = urllib.request.Request(
            studio.root + "/api/films", b'{"path": "/"}', headers=headers, method="POST"
        )
        request.add_header("Authorization", f"Bearer {studio.token}")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        assert caught.value.code == 403
