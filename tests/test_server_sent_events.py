import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import UpstreamProtocolError
from turnout.server_sent_events import EventSplitter


@given(
    st.lists(st.sampled_from([b"data: a", b": b", b"data: c\ndata: d", b"event: e\r\ndata: f"]), max_size=6),
    st.sampled_from([b"\n\n", b"\r\n\r\n"]),
    st.integers(1, 7),
)
def test_events_are_the_same_however_the_bytes_arrive(events: list[bytes], end: bytes, size: int) -> None:
    whole = b"".join(part + end for part in events)
    splitter = EventSplitter(max_event_bytes=1000)
    found = [part for i in range(0, len(whole), size) for part in splitter.feed(whole[i : i + size])]
    assert found == [part + end for part in events]
    assert splitter.rest == b""


def test_an_event_that_grows_too_large_is_refused() -> None:
    splitter = EventSplitter(max_event_bytes=10)
    assert splitter.feed(b"data: 1234") == []
    with pytest.raises(UpstreamProtocolError, match="larger than the 10 bytes"):
        splitter.feed(b"5")
