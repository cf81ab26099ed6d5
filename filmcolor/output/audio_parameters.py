"""Finds where the rate or the channels of sound change within a stream, without decoding it.

A DV tape goes from 48 to 32 kHz, a broadcast from stereo to 5.1. AC-3 and MPEG audio state their
parameters in every packet. PCM and AAC in Matroska, MP4 and MOV do not: the container states them
once, and what follows plays at a wrong pitch.
"""

from typing import Any

import av
import av.error

from filmcolor.video.demux import open_film, path_of, read_packets

_ADTS_SYNC = 0xFFF0
# profile, sampling frequency and channels in the bytes after the syncword: ISO 14496-3, 1.A.2.2.1
_ADTS_MASK = 0xFDC0
# bytes of each packet's header that state rate, channels and bits, of which bits
_HEADERS = {
    "pcm_bluray": (2, 0xFFC0),  # as in HDMV LPCM: channels, rate, bits
    "pcm_dvd": (1, 0xF700),  # DVD LPCM: bits, rate, channels
    "s302m": (2, 0xC030),  # SMPTE ST 302, 5.2: channels, bits
}


def set_parameters(copy: Any, original: Any) -> None:
    """Give the copy of a sound stream the rate and channels that its header lacks.

    FFmpeg finds no parameters of sound that begins seconds after the film: they are those of the
    first frame that can be decoded. AVI names no channels: those of mono and stereo are certain,
    and MP4 needs them for PCM.
    """
    context, layout = copy.codec_context, original.codec_context.layout
    rate, name = original.codec_context.sample_rate, layout.name
    if not rate or not layout.nb_channels:
        frame = _first_frame(original)
        if frame is None:
            return
        context.sample_rate, layout = frame.sample_rate, frame.layout
        name = layout.name
    if name.endswith(" channels") and layout.nb_channels <= 2:
        name = f"{layout.nb_channels}c"
    if name != context.layout.name:
        context.layout = name


def _first_frame(stream: Any) -> av.AudioFrame | None:
    """Return the first frame of a sound stream, read from its film opened once more."""
    with open_film(path_of(stream.container)) as film:
        same: Any = film.streams[stream.index]
        for packet in read_packets(film, same):
            try:
                frames = same.decode(packet)
            except (av.error.FFmpegError, EOFError):
                continue
            if frames:
                first: av.AudioFrame = frames[0]
                return first
    return None


class ParameterWatch:
    """Watches the packets of one stream."""

    def __init__(self, stream: Any) -> None:
        context = getattr(stream, "codec_context", None) if stream.type == "audio" else None
        self._codec = context.codec.canonical_name if context else ""
        self._extradata = bytes(context.extradata or b"") if context else b""
        self._header: int | None = None

    def is_change(self, packet: av.Packet) -> bool:
        """Return whether the parameters of a packet's sound differ from those before it."""
        if not self._codec:
            return False
        is_changed = packet.has_sidedata("param_change") or self._has_new_extradata(packet)
        header = self._read_header(packet)
        is_changed |= None not in (header, self._header) and header != self._header
        self._header = self._header if header is None else header
        return is_changed

    def _has_new_extradata(self, packet: av.Packet) -> bool:
        """Return whether a packet brings another header: FLV repeats the same one."""
        if not packet.has_sidedata("new_extradata"):
            return False
        extradata = bytes(packet.get_sidedata("new_extradata"))
        is_new = bool(self._extradata) and extradata != self._extradata
        self._extradata = extradata
        return is_new

    def _read_header(self, packet: av.Packet) -> int | None:
        """Return the parameters in a packet's own header, None if it has none."""
        if self._codec == "aac":
            content = _bytes_of(packet, 0, 4)
            is_adts = int.from_bytes(content[:2], "big") & 0xFFF6 == _ADTS_SYNC
            return int.from_bytes(content[2:], "big") & _ADTS_MASK if is_adts else None
        if self._codec in _HEADERS:
            start, mask = _HEADERS[self._codec]
            return int.from_bytes(_bytes_of(packet, start, start + 2), "big") & mask
        return None


def _bytes_of(packet: Any, start: int, stop: int) -> bytes:
    """Return some of a packet's bytes without copying the others."""
    return bytes(memoryview(packet)[start:stop])
