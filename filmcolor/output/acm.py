"""Keeps sound in Matroska that Matroska has no name of its own for, as WAVE files describe it.

Matroska holds any sound that has a WAVE format tag: WMA, ADPCM, GSM, AMR, A-law, LATM (Matroska
codec mappings, A_MS/ACM). FFmpeg reads and writes it, but PyAV asks FFmpeg for standard codecs only
and refuses these. So such sound is muxed as a track of PCM, with the description of its format as
the track's private data, and the finished file's header then gets the right name in place.
"""

import io
import struct
import zlib
from typing import Any, BinaryIO

import av
from av.container import OutputContainer

from filmcolor.output.audio_parameters import set_parameters
from filmcolor.video.ebml import CRC_32, TRACKS, VOID, Place, places_in, top_elements

_PLACEHOLDER = "pcm_s16le"
_PLACEHOLDER_ID, _ACM_ID = b"A_PCM/INT/LIT", b"A_MS/ACM"
_PCM = 1  # the format tag of PCM
_EXTENSIBLE = 0xFFFE  # the format is named by a GUID, which begins with its tag if it has one
_GUID_OF_TAGS = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")  # the rest of such a GUID
_MIN_FORMAT_SIZE = 18  # bytes of WAVEFORMATEX
# identifiers of elements, RFC 9559 and RFC 8794
_TRACK_ENTRY, _AUDIO = 0xAE, 0xE1
_CODEC_ID, _CODEC_PRIVATE, _BIT_DEPTH = 0x86, 0x63A2, 0x6264


def add_acm_stream(output: OutputContainer, original: Any) -> Any:
    """Add a stream for copies of the packets of a sound stream to a Matroska file, and return it.

    `name_acm_tracks` completes the finished file. Raises ValueError for a codec without a WAVE
    format tag.
    """
    wave_format = _wave_format(original)
    if _is_pcm(wave_format):
        raise ValueError(f"Matroska holds no {original.codec_context.name}")
    copy: Any = output.add_stream(_PLACEHOLDER)
    rate, num_channels = struct.unpack_from("<2xHI", wave_format)[::-1]
    copy.codec_context.sample_rate, copy.codec_context.layout = rate, f"{num_channels}c"
    copy.codec_context.extradata = wave_format
    copy.time_base = original.time_base
    return copy


def _wave_format(stream: Any) -> bytes:
    """Return a stream's WAVEFORMATEX, as FFmpeg writes it into a WAVE file."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="wav") as output:
        set_parameters(output.add_stream_from_template(stream), stream)
        output.start_encoding()
    content = memory.getvalue()
    start = content.index(b"fmt ", 12) + 8
    return content[start : start + int.from_bytes(content[start - 4 : start], "little")]


def _is_pcm(wave_format: bytes | bytearray) -> bool:
    tag = int.from_bytes(wave_format[:2], "little")
    if tag == _EXTENSIBLE and wave_format[26:40] == _GUID_OF_TAGS:
        tag = int.from_bytes(wave_format[24:26], "little")
    return tag == _PCM


def name_acm_tracks(file: BinaryIO) -> None:
    """Give the tracks of `add_acm_stream` in a Matroska file their codec's name, in place.

    `file`: open for reading and writing. Other tracks, and other files, stay as they are.
    """
    tracks = next((place for place in top_elements(file) if place.id == TRACKS), None)
    if tracks is None:
        return
    file.seek(tracks.start)
    content = bytearray(file.read(tracks.stop - tracks.start))
    if _name_tracks(content):
        file.seek(tracks.start)
        file.write(content)


def _name_tracks(content: bytearray) -> bool:
    """Change the data of the element of all tracks; return whether there was anything to change."""
    is_changed = False
    elements = list(places_in(content, 0, len(content)))
    for track in elements:
        if track.id == _TRACK_ENTRY:
            is_changed |= _name_track(content, track)
    if is_changed and elements[0].id == CRC_32:
        checksum = zlib.crc32(content[elements[0].stop :])  # RFC 8794, 11.3.1
        content[elements[0].start : elements[0].stop] = checksum.to_bytes(4, "little")
    return is_changed


def _name_track(content: bytearray, track: Place) -> bool:
    fields = {element.id: element for element in places_in(content, track.start, track.stop)}
    codec, private = fields.get(_CODEC_ID), fields.get(_CODEC_PRIVATE)
    if codec is None or private is None:
        return False
    wave_format = content[private.start : private.stop]
    is_placeholder = content[codec.start : codec.stop] == _PLACEHOLDER_ID
    if not is_placeholder or len(wave_format) < _MIN_FORMAT_SIZE or _is_pcm(wave_format):
        return False
    # a string may end with zeros, RFC 8794, 7.4
    content[codec.start : codec.stop] = _ACM_ID.ljust(codec.stop - codec.start, b"\0")
    audio = fields[_AUDIO]
    for element in places_in(content, audio.start, audio.stop):
        if element.id == _BIT_DEPTH:
            _set_bit_depth(content, element, wave_format[14])
    return True


def _set_bit_depth(content: bytearray, element: Place, bit_depth: int) -> None:
    """Set the depth of a track's samples; a depth of 0 is left out (RFC 9559, 5.1.4.1.29.4)."""
    size = element.stop - element.start
    if bit_depth:
        content[element.start : element.stop] = bit_depth.to_bytes(size, "big")
    else:
        num_bytes = element.stop - element.head - 2
        void = bytes([VOID, 0x80 | num_bytes]) + bytes(num_bytes)
        content[element.head : element.stop] = void
