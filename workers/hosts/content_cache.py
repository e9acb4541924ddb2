"""The cache of contents on a host, filled from Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...controller.errors import HostError, TransferSilent
from ...controller.model.contents import Content
from .byte_streams import Incoming, Judged

#: Yields the bytes of a content from an offset on.
Pieces = Callable[[str, int], Iterator[bytes]]


def keep(talk: Judged, content: Content, pieces: Pieces) -> bool:
    """Have a host keep a content, over a channel to ``keep`` of the supervisor.

    Args:
        talk: the channel.
        content: the content.
        pieces: its bytes, as Redis has them.

    Returns:
        False while another request brings it, or Redis does not answer.

    Raises:
        HostError: Redis has it no more, or the host cannot store it.
    """
    try:
        answer = talk.answer()
        if answer in ("have", "busy"):
            return answer == "have"
        with Incoming(talk, _nothing, answer) as stream:
            for piece in pieces(content.sha256, stream.offset):
                stream.write(piece)
            if stream.offset != content.size:
                # The host would wait for the rest.
                raise HostError(
                    f"Redis has {stream.offset} of {content.size} bytes of the content "
                    f"{content.sha256[:12]}",
                    hint="free it by nepiq forget --contents, and deploy again",
                )
            stream.finish(content.sha256)
        return True
    except TransferSilent:
        # The part that has come stays for the next round.
        return False
    finally:
        talk.channel.close()


def _nothing() -> None:
    """Forget nothing: a part on the host is resumed, or removed by the release."""
