"""Decides which streams besides the picture an output keeps, converts and leaves out."""

from dataclasses import dataclass
from pathlib import Path

from filmcolor.errors import ContainerError
from filmcolor.output.options import FORMATS, Conversion, StreamPlan
from filmcolor.output.packet_repair import PacketRepair
from filmcolor.output.subtitles import MOV_TEXT, SUBRIP, is_convertible
from filmcolor.output.trial import StreamTrials
from filmcolor.types.film import FilmInfo, StreamInfo
from filmcolor.video.demux import open_film


def other_streams(info: FilmInfo) -> tuple[StreamInfo, ...]:
    """Return the streams besides the picture, without its timecode, which is a tag of it."""
    return tuple(s for s in info.streams if s.index != info.video_index and not s.is_timecode)


@dataclass(frozen=True, slots=True)
class StreamPlanner:
    """Plans the streams of a film's outputs; `repair` holds samples of `other_streams`."""

    info: FilmInfo
    repair: PacketRepair

    @classmethod
    def of(cls, info: FilmInfo) -> "StreamPlanner":
        """Return the planner of a film, after reading its packets once."""
        return cls(info, PacketRepair(info.path, other_streams(info), with_samples=True))

    def plan(
        self, path: Path, convert: bool, drop: bool, convert_audio: bool = False
    ) -> StreamPlan:
        """Return what becomes of each stream besides the picture in an output.

        Streams of data without a player, and empty streams, are left out if the container cannot
        hold them. `convert`: subtitles may be converted to the container's own codec;
        `convert_audio`: so may sound, without loss. `drop`: leave out whatever it cannot hold.
        Raises ContainerError, naming a container that can hold it, if neither helps.
        """
        format_name = FORMATS[path.suffix.lower()]
        copied, left_out, lost_languages = [], [], []
        conversions: dict[int, Conversion] = {}
        with open_film(self.info.path) as source:
            trials = StreamTrials(self.info, source, self.repair)
            for stream in other_streams(self.info):
                trial = first_trial = trials.try_stream(format_name, stream)
                conversion: Conversion | None = None
                if not trial.is_kept and stream.type == "audio" and convert_audio:
                    conversion = trials.choose_target(format_name, stream)
                elif not trial.is_kept and convert:
                    conversion = self._conversion(format_name, stream)
                if conversion:
                    trial = trials.try_stream(format_name, stream, conversion)
                if trial.is_kept:
                    copied.append(stream)
                    if conversion:
                        conversions[stream.index] = conversion
                    if stream.language not in (None, "und", trial.language):
                        lost_languages.append(stream)
                elif drop or stream.type in ("data", "unknown") or self._is_empty(stream):
                    left_out.append(stream)
                else:
                    raise self._error(path, stream, first_trial.difference, trials)
        return StreamPlan(
            tuple(copied), tuple(left_out), conversions, lost_languages=tuple(lost_languages)
        )

    def _error(
        self, path: Path, stream: StreamInfo, difference: str, trials: StreamTrials
    ) -> ContainerError:
        suffixes = [
            s for s in (".mp4", ".mov", ".mkv") if trials.try_stream(FORMATS[s], stream).is_kept
        ]
        remedies = [f"name the output {' or '.join(suffixes)}"] if suffixes else []
        if target := trials.choose_target(FORMATS[path.suffix.lower()], stream):
            remedies.append(f"add --convert-audio to convert it to {target}")
        elif not suffixes and (target := trials.choose_target(FORMATS[".mkv"], stream)):
            remedies.append(
                f"name the output .mkv and add --convert-audio to convert it to {target}"
            )
        remedy = ", ".join(remedies) + ", or" if remedies else "no container here can;"
        return ContainerError(
            f"{path.suffix} cannot hold {stream.name} of {self.info.path} ({difference}); "
            f"{remedy} add --drop-unsupported to go on without it"
        )

    def _conversion(self, format_name: str, stream: StreamInfo) -> str | None:
        """Return the container's own codec for a stream's text; None if text would be lost."""
        codec = MOV_TEXT if format_name in ("mp4", "mov") else SUBRIP
        if not is_convertible(stream.codec, codec):
            return None
        # of titles shown at a time, MP4 ends each where the next begins
        return None if codec == MOV_TEXT and self.repair.overlaps(stream.index) else codec

    def _is_empty(self, stream: StreamInfo) -> bool:
        """Return True for a stream without packets, which a damaged header announces."""
        return stream.type != "attachment" and not self.repair.num_packets(stream.index)
