"""Serve the gateway from a program of your own, and ask it over HTTP.

A stand-in provider answers here, so that this runs anywhere. Put your providers' addresses, and the names of the
environment variables that hold your keys, in its place.
"""

import asyncio
import tempfile
from pathlib import Path

import aiohttp

from turnout.config import load_config
from turnout.demo.stand_in import stand_in_provider
from turnout.gateway.app import build_app
from turnout.gateway.server import listen, running

CONFIG = """
[models.big]
base_url = "{address}"
[models.small]
base_url = "{address}"
[routes.auto]
router = "default"
strong = "big"
weak = "small"
strong_fraction = 0.4
"""


async def main() -> None:
    """Start everything on free ports, send two queries, and stop."""
    async with stand_in_provider() as address:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "turnout.toml"
            path.write_text(CONFIG.format(address=address))
            app = build_app(load_config(path))  # an ASGI application: any server takes it
        async with running(app, listen("127.0.0.1", 0)) as gateway, aiohttp.ClientSession() as session:
            for query in ("Name a river.", "Prove that the square root of two is irrational."):
                body = {"model": "auto", "messages": [{"role": "user", "content": query}]}
                async with session.post(f"{gateway}/chat/completions", json=body) as answer:
                    model, win_rate = answer.headers["x-turnout-model"], answer.headers["x-turnout-win-rate"]
                    print(f"{model:6} {win_rate}  {query}")


asyncio.run(main())
