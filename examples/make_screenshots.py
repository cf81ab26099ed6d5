"""Take a screenshot of each screen of the studio, with Chromium and Playwright.

    python examples/make_screenshots.py FILM FOLDER

Starts a studio of its own for a copy of the film, uses it as a person does, and writes PNGs into
the folder. Nothing is left beside the film.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import click
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import studio_browser
from studio_browser import FLAGS, Picture, Studio, wait_until

LAPTOP, PHONE, SCREEN_4K = (1280, 800), (360, 740), (3840, 2160)
SHOT = 3  # of the film, from 0, or its last one
# colour, from and to, as shares of the frame's width and height: suit and wall in the demo film
STROKES = (
    ("#c8602a", (0.20, 0.72), (0.32, 0.86)),
    ("#c8602a", (0.05, 0.86), (0.14, 0.95)),
    ("#c8602a", (0.53, 0.82), (0.56, 0.90)),
    ("#c8602a", (0.67, 0.76), (0.70, 0.84)),
    ("#c9b79c", (0.66, 0.25), (0.68, 0.45)),
)
SECONDS = 120.0  # to wait for colours: a feature film is read first
expect.set_options(timeout=1000 * SECONDS)


class Camera:
    """Opens screens of a studio and photographs them."""

    def __init__(self, browser: Any, studio: Studio, film: str, folder: Path) -> None:
        self.browser, self.studio, self.film, self.folder = browser, studio, film, folder
        self.info = studio.get(f"/api/films/{film}")

    def open(self, screen: str, size: tuple[int, int], **options: Any) -> Page:
        """Return a page that shows a screen, in a browser of its own."""
        viewport = {"width": size[0], "height": size[1]}
        context = self.browser.new_context(viewport=viewport, **options)
        context.set_default_timeout(1000 * SECONDS)
        page = context.new_page()
        page.goto(self.studio.address + screen)
        expect(page.locator("#main h1")).to_be_visible()
        return page

    def open_film(self, size: tuple[int, int] = LAPTOP, **options: Any) -> Page:
        """Return a page with the film, when its colours and thumbnails are there."""
        page = self.open(f"#/film/{self.film}", size, **options)
        self.wait(page)
        return page

    def wait(self, page: Page) -> None:
        """Wait until the frame and the thumbnails in view are in colour."""
        expect(page.get_by_test_id("picture")).to_be_visible()
        wait_until(lambda: not page.get_by_test_id("coloring").is_visible(), SECONDS)
        in_view = page.locator("[role=option]")
        wait_until(
            lambda: all(
                in_view.nth(n).get_attribute("data-side") == "color"
                for n in range(min(5, in_view.count()))
            ),
            SECONDS,
        )
        page.wait_for_load_state("networkidle")

    def shoot(self, page: Page, name: str) -> None:
        """Write a screenshot."""
        page.screenshot(path=self.folder / f"{name}.png")
        click.echo(self.folder / f"{name}.png")


def shoot_film(camera: Camera) -> None:
    """Photograph the film: looked at, corrected, on a phone, on a large screen."""
    page = camera.open_film()
    shots = page.get_by_role("option")
    shots.nth(min(SHOT, shots.count() - 1)).click()
    camera.wait(page)
    camera.shoot(page, "film")

    picture = Picture(page, camera.info["width"], camera.info["height"])
    width, height = picture.size
    for color, *ends in STROKES:
        page.get_by_test_id("color").fill(color)
        points = [(x * width, y * height) for x, y in ends]
        with page.expect_response(lambda r: r.request.method == "POST"):
            picture.drag(*points)
    camera.wait(page)
    camera.shoot(page, "correcting")
    page.get_by_role("button", name="Shots like this one…").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_text("Looking for shots")).to_be_hidden()
    camera.shoot(page, "alike")
    page.keyboard.press("Escape")
    page.get_by_test_id("tool-look").click()
    page.get_by_role("button", name="Help", exact=True).click()
    camera.shoot(page, "help")
    page.keyboard.press("Escape")
    page.get_by_test_id("play").click()
    wait_until(lambda: page.get_by_test_id("clip").evaluate("v => v.currentTime > 0.3"), SECONDS)
    camera.shoot(page, "playing")

    phone = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    page = camera.open_film(PHONE, **phone)
    camera.shoot(page, "phone")
    page.get_by_test_id("mend-toggle").click()
    camera.shoot(page, "phone-correcting")
    camera.shoot(camera.open_film(SCREEN_4K), "4k")


def shoot_queue(camera: Camera) -> None:
    """Photograph the dialog of a run, and the queue before and after it has ended."""
    page = camera.open_film()
    page.get_by_role("button", name=re.compile("^Ten seconds")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Save as")).not_to_have_value("")
    camera.shoot(page, "render")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    camera.shoot(page, "phone-render")
    page.set_viewport_size({"width": LAPTOP[0], "height": LAPTOP[1]})
    dialog.get_by_role("button", name="Start").click()
    bar = page.get_by_role("progressbar", name=re.compile("^Progress"))
    expect(bar.or_(page.get_by_text("Finished")).first).to_be_visible()
    wait_until(lambda: bar.count() == 0 or bar.evaluate("bar => bar.value") > 0.3, SECONDS)
    camera.shoot(page, "queue-running")
    expect(page.get_by_text("Finished").first).to_be_visible()
    page.get_by_role("button", name=re.compile("^Play")).click()
    film = page.locator(".player video")
    wait_until(lambda: film.evaluate("video => video.currentTime > 1"), SECONDS)
    film.evaluate("video => video.pause()")
    camera.shoot(page, "queue")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    camera.shoot(page, "phone-queue")


def shoot_photos(camera: Camera, film: Path) -> None:
    """Photograph photographs: a few frames of the film stand for them."""
    for number, picture in enumerate(pictures_of(film), 1):
        camera.studio.ask("POST", f"/api/photos?name=photograph-{number}.jpg", picture)
    page = camera.open("#/photos", LAPTOP)
    page.wait_for_load_state("networkidle")
    camera.shoot(page, "photographs")
    page.get_by_role("link", name=re.compile("photograph-2")).first.click()
    expect(page.get_by_test_id("picture")).to_be_visible()
    wait_until(lambda: not page.get_by_test_id("coloring").is_visible(), SECONDS)
    page.wait_for_load_state("networkidle")
    camera.shoot(page, "photograph")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    camera.shoot(page, "phone-photograph")
    page.get_by_role("button", name="Mend").click()
    camera.shoot(page, "phone-photograph-correcting")


def shoot_start(camera: Camera) -> None:
    """Photograph the first screen."""
    for name, size in (("start", LAPTOP), ("phone-start", PHONE), ("4k-start", SCREEN_4K)):
        page = camera.open("#/", size)
        page.wait_for_load_state("networkidle")
        camera.shoot(page, name)


def pictures_of(film: Path, num: int = 4) -> list[bytes]:
    """Return JPEGs of a few frames of a film, in grey."""
    pictures = []
    with av.open(str(film)) as container:
        seconds = float(container.duration or 0) / av.time_base
        for n in range(num):
            container.seek(int((n + 0.5) / num * seconds * av.time_base))
            frame = next(container.decode(video=0))
            with tempfile.SpooledTemporaryFile() as file:
                Image.fromarray(frame.to_ndarray(format="gray")).save(file, "JPEG", quality=95)
                file.seek(0)
                pictures.append(file.read())
    return pictures


@click.command()
@click.argument("film", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(film: Path, folder: Path) -> None:
    """Take the screenshots."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        copy = Path(shutil.copy(film, home))
        path = studio_browser.chromium_path()
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        with studio_browser.running(Path(home), copy) as studio:
            camera = Camera(browser, studio, studio.film_id(copy), folder)
            shoot_start(camera)
            shoot_film(camera)
            shoot_queue(camera)
            shoot_photos(camera, copy)
        browser.close()


if __name__ == "__main__":
    main()
