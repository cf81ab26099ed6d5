"""Writes a film as image files: into a hidden folder first, from where they are moved together.

A folder that does not exist yet gets all its images at once. Into one that exists they are moved
one by one; a run that is stopped meanwhile goes on with that when it is started again.
"""

import os
import shutil
from pathlib import Path

import av

from filmcolor.output.image_headers import ImageHeaders
from filmcolor.output.image_names import FrameNumbering, ImagePattern
from filmcolor.output.muxing import translate_write_errors
from filmcolor.output.options import OutputPlan
from filmcolor.output.packet_repair import PacketRepair
from filmcolor.runtime.platform import sync_folder
from filmcolor.types.film import FilmInfo
from filmcolor.video.frame_index import FrameIndex

MOVING = "moving"  # file in a run's folder: its images are being moved to their names


class ImageWriter:
    """Writes images beside their target; `keep` moves them, leaving the context deletes them.

    An image's number is that of its frame, as --frames counts them; of the images of a film that
    is a sequence, their own. `partial`: the pattern of the images that are written to. `repair`:
    of no streams, which images have none of. `notes`: lines for people, after `keep`.
    """

    def __init__(self, info: FilmInfo, plan: OutputPlan, folder: Path) -> None:
        """Prepare writing into `folder`, which must not exist."""
        self.info, self.plan = info, plan
        self.partial = folder / plan.path.name
        self.repair = PacketRepair(info.path, ())
        self._pattern = ImagePattern.parse(plan.path)
        self._headers = ImageHeaders.of(info, plan.tag)
        sources = self._headers.sources
        self._first = sources.numbers[0] if sources else 0
        self._numbering = FrameNumbering(FrameIndex.read(info))
        self._numbers: list[int] = []
        self.notes: tuple[str, ...] = ()

    def __enter__(self) -> "ImageWriter":
        with translate_write_errors(self.plan.path):
            self.partial.parent.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.partial.parent, ignore_errors=True)

    def write_packet(self, packet: av.Packet, pts: int, _: int, __: int) -> None:
        """Write an encoded frame, shown at `pts`, FilmInfo.time_base units, as a file."""
        number = self._numbering.number(pts)
        image = self._headers.complete(self.plan.codec, bytes(packet), number)
        self._numbers.append(self._first + number)
        path = self.partial.with_name(self._pattern.name(self._first + number))
        with translate_write_errors(self.plan.path), path.open("wb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Do nothing: all images are written."""

    def keep(self, path: Path) -> None:
        """Move the images to the names of a pattern, replacing those of the same numbers."""
        pattern, folder = ImagePattern.parse(path), self.partial.parent
        with translate_write_errors(path):
            for number in self._numbers if pattern != self._pattern else ():
                (folder / self._pattern.name(number)).replace(folder / pattern.name(number))
            sync_folder(folder)
            if pattern.folder.exists():
                (folder.parent / MOVING).touch()
                self._move(folder, pattern)
            else:
                folder.rename(pattern.folder)
                sync_folder(pattern.folder.parent)

    def _move(self, folder: Path, pattern: ImagePattern) -> None:
        names = [pattern.name(number) for number in self._numbers]
        for name in names:
            (folder / name).replace(pattern.folder / name)
        sync_folder(pattern.folder)
        if others := sorted(set(pattern.existing()) - set(names)):
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            self.notes = (f"beside them are images of an earlier run: {others[0]}{more}",)
