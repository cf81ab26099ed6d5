"""Opens films and reads their packets; damaged packets are skipped."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
import av.error
from av.container import InputContainer

from filmcolor.errors import InputError
from filmcolor.files import is_address, media_url, unreadable
from filmcolor.video.encryption import check_is_clear
from filmcolor.video.image_sequence import FORMAT as IMAGE_FORMAT
from filmcolor.video.image_sequence import ImageSequence
from filmcolor.video.partial_films import BUFFER_BYTES, find_partial, open_bytes
from filmcolor.video.sequence_names import explain_still, find_sequence, is_image_name

MPEG_RANGE, JPEG_RANGE = 1, 2  # AVColorRange
_PROBED_BYTES = 1 << 20  # after FFmpeg's last packet; it reads 32 KiB at once
_MAX_FAILURES = 100  # consecutive read errors before a film counts as ended
_TEXT_FORMATS = frozenset({"tty"})  # FFmpeg renders any text file as a video
# bytes and microseconds in which FFmpeg looks for streams and their parameters: five of MB and
# seconds by default
_LONG_PROBE = {"probesize": "50000000", "analyzeduration": "60000000"}
# protocols of the files that a playlist names: none that leaves this computer
_PROTOCOLS = "file,crypto,data"
_PLAYLIST = re.compile(
    rb"\s*(#EXTM3U|ffconcat |<\?xml[^>]*>\s*<MPD|<MPD|v=0\s|\[playlist\]|RTSPtext)"
)
# of pictures that FFmpeg does not read, or not in every build
_STILL_SUFFIXES = frozenset({".avif", ".heic", ".heif", ".hif", ".psd", ".svg"})


def names_other_files(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a playlist, or of any XML."""
    return bool(_PLAYLIST.match(head)) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def open_film(path: Path) -> InputContainer:
    """Open a film for reading, or an image sequence; the caller closes it.

    Raises InputError, naming the file and the remedy, when that is not possible.
    """
    if files := find_sequence(path):
        return cast(InputContainer, ImageSequence(files))
    check_is_file(path)
    try:
        # old tags with bytes that are not UTF-8 must not prevent opening
        options = {"protocol_whitelist": _PROTOCOLS}
        container = _open(path, options)
        if _needs_long_probe(container):
            container.close()
            container = _open(path, options | _LONG_PROBE)
        if container.format.name == IMAGE_FORMAT:
            container.close()
            container = _open_without_name(path)
    except (av.error.FFmpegError, EOFError, OSError, ValueError) as error:
        raise _explain(path, error) from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise InputError(f"{path} is text, not a film; name a video file")
    return container


def _open(path: Path, options: dict[str, str]) -> InputContainer:
    film = find_partial(path)
    if film is None:
        return av.open(media_url(path), metadata_errors="replace", container_options=options)
    return av.open(
        film.open(media_url(path)),
        "r",
        metadata_errors="replace",
        container_options=options,
        buffer_size=BUFFER_BYTES,
    )


def _needs_long_probe(container: Any) -> bool:
    """Return True for a film with streams that FFmpeg does not know after its first seconds.

    Sound that begins later has no parameters. MPEG-PS lists no streams: a later one would be lost.
    """
    contexts = [getattr(s, "codec_context", None) for s in container.streams if s.type == "audio"]
    is_unknown = any(stream.type == "unknown" for stream in container.streams)
    lacks_parameters = any(c and not (c.sample_rate and c.layout.nb_channels) for c in contexts)
    return container.format.name == "mpeg" or is_unknown or lacks_parameters


def check_is_file(path: Path) -> None:
    """Raise InputError, with a remedy, unless a path is that of an existing file."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name one film inside it")
    if path.exists():
        return
    if is_address(path):
        address = str(path).replace(":/", "://", 1)  # a path has no double slash
        if address.lower().startswith("file:"):
            raise InputError(f"{address} is an address; give the file's path, without 'file://'")
        raise InputError(f"{address} is an address; filmcolor reads files: download it first")
    raise InputError(f"{path}: no such file; check the spelling and the folder")


def path_of(container: InputContainer) -> Path:
    """Return the path that a film was opened with."""
    return Path(container.name.removeprefix("file:"))


def _open_without_name(path: Path) -> InputContainer:
    """Open a file by its contents: its name looks like a still, or like a pattern of stills."""
    file: Any
    if film := find_partial(path):
        file = film.open("0")
    else:
        file = open(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), "rb")  # noqa: PTH123, SIM115
    try:
        return av.open(file, "r", metadata_errors="replace")  # the file's name is a number
    except av.error.FFmpegError:  # a still of a format that only its suffix shows
        options = {"pattern_type": "none"}
        return av.open(media_url(path), "r", format=IMAGE_FORMAT, container_options=options)


def _explain(path: Path, error: Exception) -> InputError:
    """Return the error of a file that cannot be opened."""
    try:
        with open_bytes(path) as file:
            head = file.read(256)
    except OSError:
        return InputError(f"{path} may not be read; check its permissions")
    check_is_clear(path)
    if _PLAYLIST.match(head):
        return InputError(
            f"{path} is a playlist, and what it names is no file in its folder; "
            "name the films themselves"
        )
    if is_image_name(path) or path.suffix.lower() in _STILL_SUFFIXES:
        return InputError(explain_still(path))
    return InputError(
        f"{path} is not a film that can be opened ({_reason(error)}); "
        "is it complete, and a video file?"
    )


def read_packets(container: InputContainer, streams: Any) -> Iterator[av.Packet]:
    """Yield the packets of streams, skipping read errors; empty packets at the end flush decoders.

    Reading ends after 100 consecutive errors. A failing disk never ends a film early: raises
    StorageError when bytes that should follow cannot be read.
    """
    packets = _packets(container, streams)
    film = find_partial(container.name)
    return packets if film is None else film.checked(packets)


def _packets(container: InputContainer, streams: Any) -> Iterator[av.Packet]:
    num_failures = 0
    position = 0  # in the file, of the last packet's end
    while True:
        try:
            for packet in container.demux(streams):
                num_failures = 0
                if packet.pos is not None:
                    position = max(position, packet.pos + packet.size)
                yield packet
            _check_readable(container, position)
            return
        except IndexError:  # a packet of a stream that began midway, unknown to PyAV
            continue
        except (av.error.FFmpegError, MemoryError):  # MemoryError: a corrupt packet size
            if num_failures == 0:
                _check_readable(container, position)
            num_failures += 1
            if num_failures > _MAX_FAILURES:
                return


def _check_readable(container: InputContainer, position: int) -> None:
    """Raise StorageError when the bytes of a film after a position cannot be read.

    FFmpeg takes a failed read of a disk or a network drive for the end of the film, or for damage.
    """
    path = path_of(container)
    if isinstance(container, ImageSequence) or not path.is_file():
        return
    try:
        _read_plainly(path, position)
    except OSError as error:
        raise unreadable(path, error, f" on after {position} bytes") from error


def _read_plainly(path: Path, position: int) -> None:
    """Read some of a file's bytes after a position, and its last ones."""
    with open_bytes(path) as file:
        size = file.seek(0, os.SEEK_END)
        for start in (position, max(position, size - _PROBED_BYTES)):
            file.seek(start)
            file.read(_PROBED_BYTES)


def decode_packet(stream: Any, packet: av.Packet | None) -> list[Any] | None:
    """Return the frames, of pictures or sound, that a packet completes; None if it is broken.

    A packet of None completes those that are left.
    """
    try:
        return list(stream.decode(packet))
    except EOFError:
        return []
    except av.error.FFmpegError:
        return None


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
