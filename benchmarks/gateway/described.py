"""Whether the gateway does what its own description says: schemathesis against /openapi.json.

    pip install schemathesis
    python benchmarks/gateway/described.py [--schemathesis schemathesis] [--examples 100] [--seed 1]

A gateway with a ledger and no keys stands in front of a provider that answers every endpoint with the same few lines.
The description is taken as it is but for the model names, of which it knows none: those of this gateway are put in, and
one that is unknown, or no request would come further than to a 404.
schemathesis makes up requests that fit the description and requests that do not, and holds status, content type, body
and headers of each answer against it. Its exit code is this program's.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import web

from turnout.config import parse_config
from turnout.gateway.app import build_app
from turnout.gateway.endpoints.openapi import DESCRIPTION
from turnout.gateway.server import listen, running

ROUTED = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/route")
"""Where a route may be asked for."""

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 0,
    "status": "completed",
    "model": "m",
    "output": [],
    "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Paris."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
CHOICE = {"index": 0, "finish_reason": "stop"}
WHOLE: dict[str, Any] = {
    "/v1/chat/completions": {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{**CHOICE, "message": {"role": "assistant", "content": "Paris."}}],
        "usage": USAGE,
    },
    "/v1/responses": RESPONSE,
    "/v1/embeddings": {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    },
    "/v1/messages": MESSAGE,
    "/v1/messages/count_tokens": {"input_tokens": 3},
}
STREAMED: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "m",
            "choices": [{**CHOICE, "delta": {}}],
        },
        {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [], "usage": USAGE},
    ],
    "/v1/responses": [{"type": "response.completed", "sequence_number": 0, "response": RESPONSE}],
    "/v1/messages": [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ],
}


async def provide(request: web.Request) -> web.Response:
    """Whatever is asked, the same answer."""
    body = json.loads(await request.read())
    if not body.get("stream"):
        return web.json_response(WHOLE[request.path])
    events = "".join(f"event: {e.get('type', 'message')}\ndata: {json.dumps(e)}\n\n" for e in STREAMED[request.path])
    end = "data: [DONE]\n\n" if request.path == "/v1/chat/completions" else ""
    return web.Response(text=events + end, content_type="text/event-stream")


def with_names(description: dict[str, Any]) -> dict[str, Any]:
    """The description with the names that may be asked for: the route is for endpoints that take routes."""
    named = copy.deepcopy(description)
    for path, operations in named["paths"].items():
        body = operations.get("post", {}).get("requestBody")
        if body is None:
            continue
        schema = body["content"]["application/json"]["schema"]
        for way in (schema, *schema.get("oneOf", ())):
            if "model" in way.get("properties", {}):
                models = ["strong", "weak"] if path in ROUTED else ["strong" if "embeddings" in path else "weak"]
                way["properties"]["model"] = {"enum": [*models, *(["auto"] if path in ROUTED else []), "unknown"]}
    return named


async def check(schemathesis: str, *options: str) -> int:
    """The exit code of schemathesis, whose report is printed as it comes."""
    application = web.Application(client_max_size=1 << 24)
    for path in WHOLE:
        application.router.add_post(path, provide)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    address = f"http://{host}:{port}/v1"
    config = {
        "models": {
            "strong": {"base_url": address, "native_responses": True},
            "weak": {"base_url": address, "protocol": "anthropic"},
        },
        "routes": {"auto": {"router": "default", "strong": "strong", "weak": "weak", "strong_fraction": 0.5}},
        "ledger": {"path": "ledger.sqlite3"},
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            app = build_app(parse_config(config, folder=Path(folder)))
            async with running(app, listen("127.0.0.1", 0)) as url:
                described = Path(folder) / "openapi.json"
                described.write_text(json.dumps(with_names(DESCRIPTION)))
                command = (schemathesis, "run", str(described), "--url", url.removesuffix("/v1"), *options)
                process = await asyncio.create_subprocess_exec(*command, cwd=folder)
                return await process.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemathesis", default="schemathesis", help="the program, if it is not on the path")
    parser.add_argument("--examples", type=int, default=100, help="the most requests of a kind for each operation")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    options = (f"--max-examples={chosen.examples}", f"--seed={chosen.seed}", "--continue-on-failure", "--checks=all")
    sys.exit(asyncio.run(check(chosen.schemathesis, *options)))


if __name__ == "__main__":
    main()
