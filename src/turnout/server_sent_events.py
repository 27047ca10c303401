"""Server-sent events: a byte stream cut into events, and what one of them holds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from turnout.errors import UpstreamProtocolError

_EVENT_END = re.compile(rb"\r?\n\r?\n")


@dataclass(slots=True)
class EventSplitter:
    """Cuts a byte stream of server-sent events into events, each with the blank line that ends it.

    >>> events = EventSplitter(max_event_bytes=100)
    >>> events.feed(b"data: 1\\n\\ndata: "), events.feed(b"2\\r\\n\\r\\n"), events.rest
    ([b'data: 1\\n\\n'], [b'data: 2\\r\\n\\r\\n'], b'')
    """

    max_event_bytes: int
    rest: bytes = field(default=b"", init=False)
    """What has arrived of an event that is not complete."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that this chunk completes, or an UpstreamProtocolError if one grows too large."""
        held = self.rest + chunk if self.rest else chunk
        events = []
        start = 0
        # An event's end may straddle two chunks, but what was held before the last three bytes has none.
        search_from = max(0, len(self.rest) - 3)
        while match := _EVENT_END.search(held, search_from):
            events.append(held[start : match.end()])
            start = search_from = match.end()
        self.rest = held[start:]
        if len(self.rest) > self.max_event_bytes:
            raise UpstreamProtocolError(
                f"The provider sent a stream event larger than the {self.max_event_bytes} bytes allowed."
            )
        return events


def event_data(event: bytes) -> bytes:
    """The data of one server-sent event; empty for a comment or a keep-alive.

    >>> event_data(b"event: x\\ndata: one\\ndata: two\\n\\n"), event_data(b": ping\\n\\n")
    (b'one\\ntwo', b'')
    """
    if event.startswith(b"data:") and event.find(b"\ndata:") < 0:
        end = event.find(b"\n")
        return event[5 : end if end >= 0 else None].strip()
    return b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
