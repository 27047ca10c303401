"""Who has left: the watch over a client while its answer is on the way."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from turnout.gateway.asgi import DEPARTURE_TICK_S, ClientLeft, ClientWatch, Departures


async def _wait_for_ever() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


async def _leave() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def _watched(receive: Any) -> weakref.ref[ClientWatch]:
    async with Departures().watch(receive) as watch:
        await asyncio.sleep(2 * DEPARTURE_TICK_S)
    return weakref.ref(watch)


async def test_a_watch_that_listened_leaves_nothing_for_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        watch = await asyncio.create_task(_watched(_wait_for_ever))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert watch() is None
    finally:
        gc.enable()


async def test_a_client_that_leaves_ends_the_block() -> None:
    with pytest.raises(ClientLeft):
        await _watched(_leave)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
