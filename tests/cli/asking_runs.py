"""Running commands that ask models, against a scripted provider: in this process, and in one that can be killed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import TURNOUT
from scripted_provider import Provider, Request, answer, hang, plain

CONFIG = """
[upstream]
first_byte_s = 60.0
[models.big]
base_url = "{url}"
usd_per_million_input_tokens = 1000
usd_per_million_output_tokens = 1000
[models.small]
base_url = "{url}"
usd_per_million_input_tokens = 100
usd_per_million_output_tokens = 100
[models.judge]
base_url = "{url}"
usd_per_million_input_tokens = 1000
usd_per_million_output_tokens = 1000
[models.free]
base_url = "{url}"
"""

MakeAnswer = Callable[[dict[str, Any]], str]
"""The request's body → what the model says."""


def write_config(folder: Path, provider: Provider) -> Path:
    path = folder / "turnout.toml"
    path.write_text(CONFIG.format(url=provider.base_url))
    return path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answers_by(make: MakeAnswer, *, most: int | None = None) -> Any:
    """A provider's reply that depends on what it is asked; once it has answered `most` requests it hangs."""
    answered = 0

    async def reply(provider: Provider, request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        if answered == most:
            await hang(provider, request, writer)
        answered += 1
        await plain(answer(make(request.body)))(provider, request, writer)

    return reply


async def start(*arguments: object, limit_file_bytes: int | None = None) -> asyncio.subprocess.Process:
    """The command line in a process of its own, whose files may be limited in size as on a disk that fills up."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has what it runs in the background ignore it
        if limit_file_bytes is not None:
            import resource  # not on Windows

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_file_bytes, limit_file_bytes))

    return await asyncio.create_subprocess_exec(
        *TURNOUT,
        *(str(argument) for argument in arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=None if sys.platform == "win32" else prepare,
    )


async def until(condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def asked(provider: Provider) -> list[tuple[str, str]]:
    """(model, last message) of each request, in the order of arrival."""
    return [(request.body["model"], request.body["messages"][-1]["content"]) for request in provider.requests]
