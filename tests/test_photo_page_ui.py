"""The page as a person uses it, with stand-ins for the network and the service worker."""

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import photo_page_browser
import pytest
from photo_page_stand_in import MOST, SETUP, USUAL, stand_in_site
from PIL import Image
from stills import colorful
from studio_browser import WAIT, Watch

from filmcolor.pipeline.photo import photo_path

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
expect = playwright_api.expect
pytestmark = pytest.mark.slow

SIZE = 96, 64
PHONE = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True}
# portrait and landscape, a small phone, 200 % zoom of a laptop, a tablet, a desktop
WINDOWS = (360, 640), (640, 360), (320, 480), (640, 400), (820, 1180), (1440, 900)
GREY = 128
FINGER = 44  # pixels, side of what a finger hits: WCAG 2.2, 2.5.5
PIXEL = """(canvas) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  copy.getContext("2d").drawImage(canvas, 0, 0);
  return [...copy.getContext("2d").getImageData(0, 0, 1, 1).data];
}"""
SHARING = """
standIn.shared_ = [];
navigator.canShare = ({ files }) => files.every(({ type }) => type === "image/jpeg");
navigator.share = async ({ files: [file] }) => {
  const name = standIn.shareError;
  if (name) throw new DOMException("no", name);
  standIn.shared_.push([file.name, file.type, file.size]);
};
"""
GIVE = """([name, type, data, event]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type }));
  if (event === "paste") {
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files }));
    return;
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.dispatchEvent(new DragEvent(kind, { dataTransfer: files, cancelable: true }));
  }
}"""

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = stand_in_site(tmp_path_factory.mktemp("page"))
    with photo_page_browser.serve(site) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with photo_page_browser.browser() as browser:
        yield browser


@pytest.fixture
def open_page(chromium: Any, root: str) -> Iterator[Open]:
    """Open the page; check afterwards that it logged no error and asked no other host."""
    watch = Watch(root)
    contexts = []

    def open_one(script: str = "", **options: Any) -> Any:
        context = chromium.new_context(accept_downloads=True, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.add_init_script(SETUP + script)
        watch.over(page)
        page.goto(f"{root}/index.html")
        return page

    yield open_one
    for context in contexts:
        context.close()
    watch.check()


def photograph(
    name: str = "Grandmother 1931.jpg", size: tuple[int, int] = SIZE, mode: str = "L"
) -> dict[str, Any]:
    """Return a file that a person chooses."""
    file = io.BytesIO()
    colorful(0, size).convert(mode).save(file, "jpeg")
    return {"name": name, "mimeType": "image/jpeg", "buffer": file.getvalue()}


def choose(page: Any, file: dict[str, Any] | None = None) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photograph").click()
    chooser.value.set_files([file or photograph()])


def colored(page: Any, file: dict[str, Any] | None = None) -> Any:
    """Choose a photograph and wait for its colours."""
    choose(page, file)
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    return page


def give(page: Any, file: dict[str, Any], event: str) -> None:
    """Drop a file onto the page, or paste it."""
    data = base64.b64encode(file["buffer"]).decode()
    page.evaluate(GIVE, [file["name"], file["mimeType"], data, event])


def calls(page: Any, name: str) -> list[list[Any]]:
    """Return the values of all calls of the stand-in that have a name."""
    return [values for called, *values in page.evaluate("standIn.calls") if called == name]


def color_of(saturation: float, warmth: float) -> list[int]:
    """Return the colour that the stand-in paints."""
    return [round(100 * saturation), 60, round(100 * (warmth + 1)), 255]


def expect_color(page: Any, saturation: float, warmth: float) -> None:
    """Wait until the photograph is shown with a grade."""
    page.wait_for_function(
        f"(color) => ({PIXEL})(document.querySelector('#after')).join() === color.join()",
        arg=color_of(saturation, warmth),
    )


def slider(page: Any, name: str) -> Any:
    return page.get_by_role("slider", name=name, exact=True)


def divider(page: Any) -> Any:
    return page.get_by_role("slider", name="Divider between before and after")


def set_value(control: Any, value: float) -> None:
    """Move a slider at once, as a finger does."""
    control.evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def split(page: Any) -> float:
    """Return where the line between before and after is, as a share of the photograph's width."""
    frame, line = (page.locator(f"#{name}").bounding_box() for name in ("frame", "line"))
    return (line["x"] + line["width"] / 2 - frame["x"]) / frame["width"]


def violations(page: Any) -> list[str]:
    """Return what axe-core finds wrong with a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return [
        f"{found['id']}: {node['target']} {node.get('failureSummary', '')}"
        for found in axe.run(page).response["violations"]
        for node in found["nodes"]
    ]


# ---------------------------------------------------------------- from choosing to keeping


def test_choose_compare_adjust_save_and_another(open_page: Open) -> None:
    page = colored(open_page())
    expect(page.get_by_role("button", name="Choose a photograph")).to_be_hidden()
    assert calls(page, "color") == [["Grandmother 1931.jpg"]]
    assert page.locator("#after").evaluate(PIXEL) == color_of(USUAL, 0)
    before = np.array(page.locator("#before").evaluate(PIXEL)[:3])
    assert np.ptp(before) < 4  # grey
    set_value(slider(page, "Saturation"), 0.5)
    set_value(slider(page, "Warmth"), -0.25)
    expect_color(page, 0.5, -0.25)
    expect(page.get_by_text("−0.25", exact=True)).to_be_visible()
    for kind, suffix, form in (("JPEG", "jpg", "JPEG"), ("PNG", "png", "PNG")):
        page.get_by_label("Format of the file").select_option(kind)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save").click()
        assert download.value.suggested_filename == f"Grandmother 1931.color.{suffix}"
        with Image.open(download.value.path()) as saved:
            assert (saved.format, saved.size) == (form, SIZE)
            distance = np.subtract(saved.convert("RGB").getpixel((5, 5)), color_of(0.5, -0.25)[:3])
            assert np.abs(distance).max() < 6
    page.get_by_role("button", name="Another photograph").click()
    expect(page.get_by_role("heading", name="Old photographs in colour")).to_be_focused()
    assert calls(page, "close") == [["Grandmother 1931.jpg"]]
    colored(page, photograph("second.jpeg", (64, 96)))
    assert page.locator("#after").evaluate(PIXEL) == color_of(USUAL, 0)  # sliders start anew


def test_divider_by_mouse_finger_and_keyboard(open_page: Open) -> None:
    page = colored(open_page(**PHONE))
    assert split(page) == pytest.approx(0.5, abs=0.01)
    frame = page.locator("#frame").bounding_box()
    x, y = frame["x"], frame["y"] + frame["height"] / 3
    page.mouse.move(x + 0.5 * frame["width"], y)
    page.mouse.down()
    page.mouse.move(x + 0.8 * frame["width"], y, steps=3)
    assert split(page) == pytest.approx(0.8, abs=0.01)
    page.mouse.up()
    page.mouse.move(x + 0.1 * frame["width"], y)  # let go: it stays
    assert split(page) == pytest.approx(0.8, abs=0.01)
    page.touchscreen.tap(x + 0.25 * frame["width"], y)
    assert split(page) == pytest.approx(0.25, abs=0.01)
    handle = divider(page)
    handle.focus()
    for key, place in (("ArrowRight", 0.26), ("ArrowLeft", 0.25), ("Home", 0.0), ("End", 1.0)):
        handle.press(key)
        assert split(page) == pytest.approx(place, abs=0.01)
    assert handle.get_attribute("aria-valuetext") == "100 % before, 0 % after"
    # what is left of the divider is before, what is right of it is after
    handle.press("Home")
    set_value(handle, 50)
    shot = Image.open(io.BytesIO(page.locator("#frame").screenshot())).convert("RGB")
    colors = [shot.getpixel((round(u * shot.width), shot.height // 5)) for u in (0.3, 0.7)]
    assert np.ptp(colors[0]) < 4
    assert tuple(colors[1]) == tuple(color_of(USUAL, 0)[:3])


def swipe(page: Any, *points: tuple[float, float]) -> None:
    """Draw with a finger from point to point, and let go."""
    touch = page.context.new_cdp_session(page)
    for index, (x, y) in enumerate(points):
        kind = "touchMove" if index else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_finger_across_moves_the_divider_and_a_finger_upward_scrolls(open_page: Open) -> None:
    page = colored(open_page(**PHONE))
    frame = page.locator("#frame").bounding_box()
    left, width, y = frame["x"], frame["width"], frame["y"] + frame["height"] / 3
    swipe(page, *((left + share * width, y) for share in (0.5, 0.6, 0.7, 0.8)))
    assert split(page) == pytest.approx(0.8, abs=0.02)
    swipe(page, *((left + 0.2 * width, y - 30 * step) for step in range(5)))
    page.evaluate("new Promise(requestAnimationFrame)")
    assert split(page) == pytest.approx(0.8, abs=0.02)


def test_words_on_the_photograph_stay_on_their_side(open_page: Open) -> None:
    page = colored(open_page(viewport={"width": 640, "height": 800}), plain())
    for percent in (0, 4, 9, 91, 96, 100):
        set_value(divider(page), percent)
        shot = np.asarray(Image.open(io.BytesIO(page.locator("#frame").screenshot())))[..., :3]
        bottom = shot[-48:-2]  # where the words are, below the grip
        width = bottom.shape[1]
        line = round(percent / 100 * width)
        if percent < 50:
            after = bottom[:, line + 6 : width // 2]
            assert (after == color_of(USUAL, 0)[:3]).all(), percent
        else:
            before = bottom[:, width // 2 : line - 6]
            assert (before == GREY).all(), percent


def plain() -> dict[str, Any]:
    """Return a file of a photograph that is grey all over."""
    file = io.BytesIO()
    Image.new("L", SIZE, GREY).save(file, "png")
    return {"name": "grey.png", "mimeType": "image/png", "buffer": file.getvalue()}


def test_of_many_movements_of_a_slider_the_latest_is_painted(open_page: Open) -> None:
    page = colored(open_page())
    page.evaluate("standIn.close('after')")
    for step in range(1, 21):
        set_value(slider(page, "Saturation"), step / 20)
    num_waiting = len(calls(page, "after"))
    page.evaluate("standIn.open('after')")
    expect_color(page, 1.0, 0)
    painted = [grade["saturation"] for _, grade in calls(page, "after")]
    assert painted == [USUAL, 0.05, 1.0]  # what came between them never was
    assert num_waiting == 2


def test_ranges_of_the_sliders_and_their_way_back(open_page: Open) -> None:
    page = colored(open_page())
    reset = page.get_by_role("button", name="Reset saturation and warmth")
    expect(reset).to_be_disabled()
    for name, least in (("Saturation", 0), ("Warmth", -1)):
        slider(page, name).press("Home")
        assert float(slider(page, name).input_value()) == least
    expect_color(page, 0, -1)
    slider(page, "Warmth").press("End")
    expect_color(page, 0, 1)
    slider(page, "Saturation").press("End")
    assert 1 < float(slider(page, "Saturation").input_value()) <= MOST
    reset.click()
    expect_color(page, USUAL, 0)
    expect(reset).to_be_disabled()


def test_share_where_the_browser_can(open_page: Open) -> None:
    page = colored(open_page())
    expect(page.get_by_role("button", name="Share")).to_be_hidden()
    page = colored(open_page(SHARING))
    share = page.get_by_role("button", name="Share")
    # the browser wants another press after the time that painting took: the file is kept for it
    page.evaluate("standIn.shareError = 'NotAllowedError'")
    share.click()
    expect(page.get_by_text("Press Share again")).to_be_visible()
    page.evaluate("standIn.shareError = ''")
    share.click()
    page.wait_for_function("() => standIn.shared_.length === 1")
    [[name, kind, size]] = page.evaluate("standIn.shared_")
    assert (name, kind) == ("Grandmother 1931.color.jpg", "image/jpeg")
    assert size > 100
    assert len(calls(page, "save")) == 1
    # a person who shares nothing after all has no problem
    page.evaluate("standIn.shareError = 'AbortError'")
    set_value(slider(page, "Warmth"), 1)
    share.click()
    page.wait_for_function("() => standIn.calls.filter(([name]) => name === 'save').length === 2")
    expect(share).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_drop_and_paste(open_page: Open, event: str) -> None:
    page = open_page()
    give(page, photograph("first.jpg"), event)
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    give(page, photograph("second.jpg"), event)  # onto a photograph that is shown
    page.wait_for_function("() => standIn.calls.some(([name, file]) => name === 'close')")
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    assert calls(page, "color") == [["first.jpg"], ["second.jpg"]]
    expect(page.locator("#drop-target")).to_be_hidden()


def test_camera_on_a_phone_and_drops_on_a_desktop(open_page: Open) -> None:
    page = open_page(**PHONE)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photograph").click()
    assert chooser.value.element.get_attribute("capture") == "environment"
    expect(page.get_by_text("drop a photograph here")).to_be_hidden()
    chooser.value.set_files([photograph("image.jpg")])
    expect(page.get_by_role("button", name="Save")).to_be_visible()


def test_the_way_back_of_the_browser_leads_to_the_start(open_page: Open) -> None:
    page = colored(open_page())
    page.go_back()
    expect(page.get_by_role("button", name="Choose a photograph")).to_be_visible()
    colored(page)
    page.reload()
    colored(page)
    page.get_by_role("button", name="Another photograph").click()
    expect(page.get_by_role("button", name="Choose a photograph")).to_be_visible()


def test_a_photograph_that_another_app_shares(open_page: Open) -> None:
    data = base64.b64encode(photograph()["buffer"]).decode()
    page = open_page(
        f"standIn.shared = new File([Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0))],"
        " 'from an app.jpg', { type: 'image/jpeg' });"
    )
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    assert calls(page, "color") == [["from an app.jpg"]]


# ---------------------------------------------------------------- progress and notices


def test_loading_blocks_nothing(open_page: Open) -> None:
    page = open_page("standIn.close('open'); standIn.close('color'); standIn.close('offline');")
    expect(page.get_by_role("progressbar", name="3.1 of 9.4 MB")).to_be_visible()
    expect(page.get_by_text("Works without the internet")).to_be_hidden()
    choose(page)
    # the photograph is there at once, and its progress with it
    expect(page.locator("#placeholder")).to_be_visible()
    bar = page.get_by_role("progressbar", name="3.1 of 9.4 MB")
    expect(bar).to_be_visible()
    assert bar.evaluate("(bar) => bar.value") == pytest.approx(3.1 / 9.4)
    expect(page.get_by_role("button", name="Save")).to_be_hidden()
    page.evaluate("standIn.open('open')")
    expect(page.get_by_role("progressbar", name="Colouring")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Colouring")).to_have_count(1)
    page.evaluate("standIn.open('color')")
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    page.evaluate("standIn.open('offline')")
    page.get_by_role("button", name="Another photograph").click()
    expect(page.get_by_text("Works without the internet")).to_be_visible()


def test_a_later_photograph_takes_the_place_of_one_under_way(open_page: Open) -> None:
    page = open_page("standIn.close('color');")
    choose(page, photograph("slow.jpg"))
    page.wait_for_function("() => standIn.calls.some(([name]) => name === 'color')")
    give(page, photograph("quick.jpg", (64, 96)), "drop")
    page.wait_for_function("() => standIn.calls.filter(([name]) => name === 'color').length === 2")
    page.evaluate("standIn.open('color')")
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    page.wait_for_function("() => standIn.calls.some(([name]) => name === 'close')")
    assert calls(page, "close") == [["slow.jpg"]]
    assert page.locator("#after").evaluate("({ width, height }) => [width, height]") == [64, 96]


def test_pictures_of_an_earlier_photograph_that_come_late_are_not_shown(open_page: Open) -> None:
    page = open_page("standIn.close('after');")
    choose(page, photograph("slow.jpg"))
    page.wait_for_function("() => standIn.calls.some(([name]) => name === 'after')")
    page.evaluate("delete standIn.gates.after")  # the first goes on waiting, the second does not
    give(page, photograph("quick.jpg", (64, 96)), "drop")
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    page.evaluate("standIn.opened.after()")
    page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 50))")
    assert page.locator("#after").evaluate("({ width, height }) => [width, height]") == [64, 96]


def test_notices_of_smaller_and_of_coloured_photographs(open_page: Open) -> None:
    page = colored(open_page())
    notices = page.locator("#notices")
    expect(notices).to_be_hidden()
    page.evaluate("standIn.limit = 24 * 16")
    give(page, photograph(mode="RGB"), "drop")
    expect(notices).to_contain_text("96 × 64")
    expect(notices).to_contain_text("24 × 16")
    expect(notices).to_contain_text("colours of its own")
    page.evaluate("standIn.limit = Infinity")
    give(page, sepia(), "drop")
    expect(notices).to_be_hidden()
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    expect(notices).to_be_hidden()


def sepia() -> dict[str, Any]:
    """Return a file of a photograph that is brown all over."""
    file = io.BytesIO()
    grey = np.asarray(colorful(0, SIZE).convert("L"))[..., None] / 255.0
    tint = 255.0 * grey ** np.array([0.7, 1.0, 1.5])
    Image.fromarray(np.rint(tint).astype(np.uint8)).save(file, "png")
    return {"name": "sepia.png", "mimeType": "image/png", "buffer": file.getvalue()}


def test_a_larger_window_shows_more_pixels(open_page: Open) -> None:
    page = open_page(viewport={"width": 400, "height": 400})
    colored(page, photograph(size=(1500, 1000)))
    [[small, _]] = calls(page, "after")
    page.set_viewport_size({"width": 1800, "height": 1200})
    page.wait_for_function("() => document.querySelector('#after').width > 1200")
    sides = [side for side, _ in calls(page, "after")]
    assert sides[0] == small
    # a pixel of the photograph for each pixel of the screen
    wanted = page.locator("#frame").bounding_box()["width"]
    page.wait_for_function("(w) => document.querySelector('#after').width * 1.25 > w", arg=wanted)
    assert sides[-1] <= wanted + 1
    shown = page.locator("#before, #after").evaluate_all("(all) => all.map(({ width }) => width)")
    assert shown[0] == shown[1]


def test_both_sides_are_as_sharp_when_a_slider_moves_meanwhile(open_page: Open) -> None:
    page = open_page(viewport={"width": 400, "height": 400})
    colored(page, photograph(size=(1500, 1000)))
    page.evaluate("standIn.close('after')")
    set_value(slider(page, "Warmth"), 0.2)  # under way
    page.set_viewport_size({"width": 1800, "height": 1200})
    page.evaluate("new Promise((done) => setTimeout(done, 100))")  # the window asks for more
    set_value(slider(page, "Warmth"), 0.4)  # and this takes the place of what it asked for
    page.evaluate("standIn.open('after')")
    expect_color(page, USUAL, 0.4)
    widths = page.locator("#before, #after").evaluate_all("(all) => all.map(({ width }) => width)")
    assert widths[0] == widths[1] > 1200


def test_names_of_results_are_those_of_the_photo_command(open_page: Open) -> None:
    names = "a.jpg", "Opa & Oma.1931.PNG", "scan", ".hidden.jpeg", "..jpg", "Großmutter.jpeg"
    found = open_page().evaluate(
        """async (names) => {
          const { resultName } = await import("/js/result.js");
          return names.map((name) => resultName(name, "image/png"));
        }""",
        names,
    )
    assert found == [photo_path(Path(name).with_suffix(".png")).name for name in names]


def test_a_newer_version_is_offered(open_page: Open) -> None:
    page = open_page()
    page.wait_for_function("() => Boolean(standIn.update)")
    expect(page.get_by_text("newer version")).to_be_hidden()
    page.evaluate("standIn.update(() => { standIn.isApplied = true; })")
    expect(page.get_by_text("newer version")).to_be_visible()
    colored(page)  # which loading the page again would lose
    expect(page.get_by_text("newer version")).to_be_hidden()
    page.get_by_role("button", name="Another photograph").click()
    page.get_by_role("button", name="Load it").click()
    assert page.evaluate("standIn.isApplied")


# ---------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        (("letter.txt", "text/plain", b"Dear"), ("letter.txt is not a picture", "Choose a JPEG")),
        (("IMG_1.HEIC", "image/heic", b"ftyp"), ("HEIC", "IMG_1.HEIC", "Save it as JPEG first")),
        (("IMG_2.heic", "", b"ftyp"), ("HEIC", "IMG_2.heic", "Save it as JPEG first")),
        (("scan.tiff", "image/tiff", b"II*\0"), ("cannot read scan.tiff", "JPEG or PNG")),
        (("broken.jpg", "image/jpeg", b"\xff\xd8\xff"), ("cannot read broken.jpg", "damaged")),
        (("none.jpg", "image/jpeg", b""), ("none.jpg is empty", "another photograph")),
    ],
    ids=["text", "HEIC", "HEIC without a type", "TIFF", "damaged", "empty"],
)
def test_files_that_are_no_photographs(
    open_page: Open, file: tuple[str, str, bytes], parts: tuple[str, ...]
) -> None:
    wrong = dict(zip(("name", "mimeType", "buffer"), file, strict=True))
    page = open_page()
    choose(page, wrong)
    for part in parts:
        expect(page.get_by_role("alert")).to_contain_text(part)
    colored(page)
    expect(page.get_by_role("alert")).to_be_hidden()
    give(page, wrong, "drop")  # the photograph that is shown stays
    expect(page.get_by_role("alert")).to_contain_text(parts[0])
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    assert calls(page, "close") == []


def test_network_that_cannot_be_loaded(open_page: Open) -> None:
    page = open_page("standIn.errors.open = 'network.bin could not be loaded. Try again.';")
    alert = page.get_by_role("alert")
    again = page.get_by_role("button", name="Try again")
    expect(alert).to_contain_text("could not be loaded")
    expect(again).to_be_visible()
    choose(page)  # is kept while the person tries again
    expect(alert).to_contain_text("could not be loaded")
    expect(page.locator("#placeholder")).to_be_visible()
    expect(again).to_be_focused()
    again.click()
    expect(again).to_be_visible()
    page.evaluate("standIn.errors = {}")
    again.click()
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    expect(alert).to_be_hidden()
    expect(again).to_be_hidden()
    assert calls(page, "color") == [["Grandmother 1931.jpg"]]


def test_network_is_loaded_again_from_the_start(open_page: Open) -> None:
    page = open_page("standIn.errors.open = 'network.bin could not be loaded. Try again.';")
    page.get_by_role("button", name="Try again").click()
    page.evaluate("standIn.errors = {}")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.locator("#offline")).to_be_visible()
    colored(page)


def test_photograph_that_memory_does_not_hold(open_page: Open) -> None:
    page = open_page("standIn.errors.color = 'There is not enough memory.';")
    choose(page)
    expect(page.get_by_role("alert")).to_contain_text("not enough memory")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    page.evaluate("standIn.errors = {}")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name="Save")).to_be_visible()


def test_saving_that_fails_can_be_repeated(open_page: Open) -> None:
    page = colored(open_page("standIn.errors.save = 'There is not enough memory.';"))
    save = page.get_by_role("button", name="Save")
    save.click()
    expect(page.get_by_role("alert")).to_contain_text("not enough memory")
    page.evaluate("standIn.errors = {}")
    with page.expect_download():
        save.click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_file_that_changes_after_it_was_chosen(open_page: Open, tmp_path: Path) -> None:
    path = tmp_path / "old.jpg"
    path.write_bytes(photograph()["buffer"])
    page = open_page()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photograph").click()
    chooser.value.set_files(path)
    save = page.get_by_role("button", name="Save")
    expect(save).to_be_visible()
    path.write_bytes(b"another")
    with page.expect_download() as download:
        save.click()
    assert Image.open(download.value.path()).size == SIZE


def test_saving_twice_at_once_saves_once(open_page: Open) -> None:
    page = colored(open_page())
    downloads: list[Any] = []
    page.on("download", lambda download: downloads.append(download))
    page.evaluate("standIn.close('save')")
    save = page.get_by_role("button", name="Save")
    save.click()
    save.click()
    page.evaluate("standIn.open('save')")
    expect(page.locator("#note")).to_contain_text("saves it as")
    page.get_by_role("button", name="Another photograph").click()
    assert len(downloads) == 1
    assert len(calls(page, "save")) == 1


def test_leaving_while_it_is_saved_saves_nothing(open_page: Open) -> None:
    page = colored(open_page())
    downloads: list[Any] = []
    page.on("download", lambda download: downloads.append(download))
    page.evaluate("standIn.close('save')")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Another photograph").click()
    expect(page.locator("#start")).to_be_visible()
    page.evaluate("standIn.errors.save = 'There is not enough memory.'; standIn.open('save')")
    colored(page)
    expect(page.get_by_role("alert")).to_be_hidden()
    assert downloads == []


def test_worker_that_ends_is_started_again(open_page: Open) -> None:
    page = colored(open_page())
    page.evaluate("standIn.colorizer.failure = new Error('ended')")
    page.evaluate("standIn.errors.after = 'The page has stopped.'")
    set_value(slider(page, "Warmth"), 0.5)
    expect(page.get_by_role("alert")).to_contain_text("has stopped")
    page.evaluate("standIn.errors = {}")
    page.get_by_role("button", name="Try again").click()
    expect_color(page, USUAL, 0.5)  # what the person had set stays
    expect(page.get_by_role("alert")).to_be_hidden()
    assert len(calls(page, "open")) == 2


def test_browser_that_is_too_old(open_page: Open) -> None:
    page = open_page("delete globalThis.DecompressionStream;")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("DecompressionStream")
    expect(alert).to_contain_text("Safari 16.4")
    expect(page.get_by_role("button", name="Choose a photograph")).to_be_hidden()


def test_browser_without_javascript(chromium: Any, root: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{root}/index.html")
    sentence = page.get_by_text("This page needs JavaScript")
    expect(sentence).to_be_hidden()  # at first, as the page's JavaScript could still come
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
    expect(sentence).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    context.close()


# ---------------------------------------------------------------- for everybody


@pytest.mark.parametrize("options", [PHONE, {}], ids=["phone", "desktop"])
def test_axe_finds_nothing_wrong(open_page: Open, options: dict[str, Any]) -> None:
    page = open_page(SHARING + "standIn.close('open');", **options)
    assert violations(page) == []
    choose(page)
    expect(page.locator("#working")).to_be_visible()
    assert violations(page) == []
    page.evaluate("standIn.open('open')")
    expect(page.get_by_role("button", name="Save")).to_be_visible()
    assert violations(page) == []
    page.evaluate("standIn.errors.color = 'There is not enough memory.'")
    give(page, photograph(mode="RGB"), "drop")
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Another photograph").click()
    choose(page, {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"Dear"})
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_everything_fits_and_fingers_hit_it(open_page: Open) -> None:
    page = open_page(SHARING, viewport={"width": 400, "height": 800}, has_touch=True)
    fits_on_start = {size: fits(page, size) for size in WINDOWS}
    colored(page)
    fits_with_photograph = {size: fits(page, size) for size in WINDOWS}
    assert set(fits_on_start.values()) == {True}
    assert set(fits_with_photograph.values()) == {True}
    for width, height in WINDOWS:
        page.set_viewport_size({"width": width, "height": height})
        frame = page.locator("#frame").bounding_box()
        assert frame["width"] / frame["height"] == pytest.approx(SIZE[0] / SIZE[1], rel=0.02)
        assert frame["y"] + frame["height"] <= height  # all of it is seen without scrolling
        assert frame["height"] >= 0.3 * height or frame["width"] > 0.55 * width


def fits(page: Any, size: tuple[int, int]) -> bool:
    """Return whether no text is cut off across, and everything is large enough for a finger."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    num_too_wide = page.evaluate(
        "[...document.querySelectorAll('*')].filter((e) => e.getClientRects().length"
        " && !e.closest('[aria-hidden=true]')"
        " && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow !== 'hidden'"
        " && getComputedStyle(e).display !== 'inline').length"
    )
    controls = page.locator("button:visible, select:visible, .slider input:visible")
    boxes = [control.bounding_box() for control in controls.all()]
    assert len(boxes) >= 2
    return num_too_wide == 0 and all(
        box["height"] >= FINGER and box["width"] >= FINGER and box["x"] + box["width"] <= size[0]
        for box in boxes
    )


def test_order_of_the_keyboard(open_page: Open) -> None:
    page = colored(open_page(SHARING))
    set_value(slider(page, "Warmth"), 0.5)
    page.get_by_role("heading", name="The photograph in colour").focus()
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    assert names == [
        "divider", "Saturation", "Warmth", "save", "format", "share", "another", "reset"
    ]  # fmt: skip


def test_browser_zoom_stays_possible(open_page: Open) -> None:
    content = open_page().locator("meta[name=viewport]").get_attribute("content")
    assert "user-scalable" not in content
    assert "maximum-scale" not in content


def test_files_that_the_page_names_exist(open_page: Open, root: str) -> None:
    page = open_page()
    names = page.locator("link[href], img[src]").evaluate_all(
        "(all) => all.map((e) => e.getAttribute('href') ?? e.getAttribute('src'))"
    )
    site = Path(photo_page_browser.__file__).parents[1] / "filmcolor/photo_page/site"
    assert {name for name in names if name} >= {"manifest.webmanifest", "style.css"}
    assert all((site / name).is_file() for name in names if name)  # relative, too
    for size in (192, 512):
        with Image.open(site / f"icons/icon-{size}.png") as icon:
            assert icon.size == (size, size)
    with Image.open(site / "icons/icon-maskable-512.png") as icon:
        assert icon.size == (512, 512)
        assert icon.convert("RGBA").getextrema()[3] == (255, 255)  # opaque
