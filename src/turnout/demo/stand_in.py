"""A provider of stand-ins: it speaks OpenAI's chat completions, and every answer says that no model was asked."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from turnout.demo.models import DemoModel
from turnout.pricing import estimate_tokens
from turnout.types import ModelPair


def answer_text(model: str, query: str) -> str:
    """What a stand-in says.

    >>> answer_text("gpt-4o", "Name a river.")
    'This is a stand-in for gpt-4o: no model was asked. A model would now answer your message of 13 characters.'
    """
    return (
        f"This is a stand-in for {model}: no model was asked. "
        f"A model would now answer your message of {len(query)} characters."
    )


@asynccontextmanager
async def stand_in_provider() -> AsyncIterator[str]:
    """A stand-in for any model, on a free port of the loopback while the block runs; gives its address, with `/v1`."""
    async with answering(_chat_completions) as address:
        yield address


@asynccontextmanager
async def answering(
    chat_completions: Callable[[web.Request], Awaitable[web.StreamResponse]], *, max_bytes: int = 1 << 20
) -> AsyncIterator[str]:
    """A provider that answers chat completions so, while the block runs; gives its address, with `/v1`.

    Args:
        chat_completions: answers a request.
        max_bytes: the longest request body that is read.
    """
    application = web.Application(client_max_size=max_bytes)
    application.router.add_post("/v1/chat/completions", chat_completions)
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def stand_in_models(pair: ModelPair, priced_as: ModelPair) -> AsyncIterator[tuple[DemoModel, DemoModel]]:
    """A stand-in for each model of a pair, strong and weak, while the block runs."""
    async with stand_in_provider() as address:
        yield DemoModel.of(pair.strong, address, priced_as.strong), DemoModel.of(pair.weak, address, priced_as.weak)


async def _chat_completions(request: web.Request) -> web.StreamResponse:
    try:
        body = orjson.loads(await request.read())
        model, texts = str(body["model"]), [_text_of(message) for message in body["messages"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        error = {"message": "The body must be JSON with 'model' and 'messages'.", "type": "invalid_request_error"}
        return web.json_response({"error": error}, status=400)
    answer = answer_text(model, texts[-1] if texts else "")
    usage = _usage(texts, answer)
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
        return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    options = body.get("stream_options") or {}
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for chunk in _chunks(head, answer, usage if options.get("include_usage") else None):
        await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content if isinstance(content, str) else ""


def _usage(texts: Sequence[str], answer: str) -> dict[str, int]:
    read, written = sum(estimate_tokens(text) for text in texts), estimate_tokens(answer)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _chunks(head: Mapping[str, Any], answer: str, usage: Mapping[str, int] | None) -> Iterator[dict[str, Any]]:
    """The answer word by word, and behind it the token counts for whoever asked for them."""
    head = {**head, "object": "chat.completion.chunk"}
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in answer.replace(" ", " \0").split("\0")]
    for delta in deltas:
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if usage is not None:
        yield {**head, "choices": [], "usage": usage}
