"""Finds where the rate or the channels of sound change within a stream, without decoding it.

A DV tape goes from 48 to 32 kHz, a broadcast from stereo to 5.1. AC-3 and MPEG audio state their
parameters in every packet. PCM and AAC in Matroska, MP4 and MOV do not: the container states them
once, and what follows plays at a wrong pitch.
"""

from typing import Any

import av

# AVParamChange, libavcodec/packet.h: what a demuxer found changed, and a new header
_SIDE_DATA = ("param_change", "new_extradata")
_ADTS_SYNC = 0xFFF0
# profile, sampling frequency and channels in the bytes after the syncword: ISO 14496-3, 1.A.2.2.1
_ADTS_MASK = 0xFDC0
# bytes of each packet's header that state rate, channels and bits, of which bits
_HEADERS = {
    "pcm_bluray": (2, 0xFFC0),  # as in HDMV LPCM: channels, rate, bits
    "pcm_dvd": (1, 0xF700),  # DVD LPCM: bits, rate, channels
    "s302m": (2, 0xC030),  # SMPTE ST 302, 5.2: channels, bits
}


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
            content = bytes(packet)[:4]
            is_adts = int.from_bytes(content[:2], "big") & 0xFFF6 == _ADTS_SYNC
            return int.from_bytes(content[2:], "big") & _ADTS_MASK if is_adts else None
        if self._codec in _HEADERS:
            start, mask = _HEADERS[self._codec]
            return int.from_bytes(bytes(packet)[start : start + 2], "big") & mask
        return None
