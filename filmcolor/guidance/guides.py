"""Guides: sources of colour that replace the network's, one after the other."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from filmcolor.temporal.anchors import AnchorRequests
from filmcolor.types.frames import PredictedFrame, ProxyFrame


class Guide(ABC):
    """A source of colours for the anchors of a film.

    Guides run one after the other; each sees the colours that those before it have given.
    """

    name: str  # in the profile of a run

    @property
    def anchor_requests(self) -> AnchorRequests | None:
        """The anchors that it needs besides those that the motion asks for."""
        return None

    def watch_cuts(self, frames: Iterable[ProxyFrame]) -> Iterable[ProxyFrame]:
        """Yield the same frames and note the cuts; frames pass here before `propagate`."""
        return frames

    @abstractmethod
    def propagate(self, frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
        """Yield the frames; where the guide has better colours, anchors have those.

        Anchors must have their ab and features.
        """


def merge_requests(guides: Sequence[Guide]) -> AnchorRequests | None:
    """Return the anchors that any of the guides needs, None where none needs any."""
    requests = [r for guide in guides if (r := guide.anchor_requests) is not None]
    if not requests:
        return None

    def is_given(number: int) -> bool:
        """Return whether a guide colours a frame by itself, and none after it has references."""
        is_wanted = False
        for request in requests:
            is_wanted &= not request.has_references(number)
            is_wanted |= request.is_given(number)
        return is_wanted

    return AnchorRequests(
        is_reference=lambda number: any(r.is_reference(number) for r in requests),
        has_references=lambda number: any(r.has_references(number) for r in requests),
        is_given=is_given,
    )
