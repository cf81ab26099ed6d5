"""Opens films and reads their packets; damaged packets are skipped."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer

from filmcolor.errors import InputError

MPEG_RANGE, JPEG_RANGE = 1, 2  # AVColorRange
_MAX_FAILURES = 100  # consecutive read errors before a film counts as ended
_TEXT_FORMATS = frozenset({"tty"})  # FFmpeg renders any text file as a video


def open_film(path: Path) -> InputContainer:
    """Open a film for reading; the caller closes it.

    Raises InputError, naming the file and the remedy, when that is not possible.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; check the spelling and the folder")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name one film inside it")
    try:
        # old tags with bytes that are not UTF-8 must not prevent opening
        container = av.open(os.fspath(path), metadata_errors="replace")
    except av.error.PermissionError as error:
        raise InputError(f"{path} may not be read; check its permissions") from error
    except (av.error.FFmpegError, EOFError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a film that can be opened ({_reason(error)}); "
            "is it complete, and a video file?"
        ) from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise InputError(f"{path} is text, not a film; name a video file")
    return container


def read_packets(container: InputContainer, streams: Any) -> Iterator[av.Packet]:
    """Yield the packets of streams, skipping read errors; empty packets at the end flush decoders.

    Reading ends after 100 consecutive errors.
    """
    num_failures = 0
    while True:
        try:
            for packet in container.demux(streams):
                num_failures = 0
                yield packet
            return
        except IndexError:  # a packet of a stream that began midway, unknown to PyAV
            continue
        except (av.error.FFmpegError, MemoryError):  # MemoryError: a corrupt packet size
            num_failures += 1
            if num_failures > _MAX_FAILURES:
                return


def decode_packet(stream: Any, packet: av.Packet) -> list[av.VideoFrame] | None:
    """Return the frames that a packet completes; None if it cannot be decoded."""
    try:
        return list(stream.decode(packet))
    except EOFError:
        return []
    except av.error.FFmpegError:
        return None


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
