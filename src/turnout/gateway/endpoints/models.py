"""GET /v1/models: the names that a caller may ask for, as OpenAI lists them or as Anthropic does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from turnout.gateway.asgi import Receive, Scope, Send, header, send_json
from turnout.gateway.choosing.routes import Routes
from turnout.gateway.errors import unknown_model
from turnout.gateway.steps.access import Access

MODELS_PATH = "/v1/models"


def speaks_anthropic(scope: Scope) -> bool:
    """Whether a client speaks Anthropic's protocol, where the path does not tell: all its requests have this header."""
    return header(scope, b"anthropic-version") is not None


class ModelList:
    """Answers for the names of the configuration of the moment."""

    def __init__(self, routes: Callable[[], Routes], access: Access) -> None:
        self._routes = routes
        self._access = access
        self._created = int(time.time())

    async def show_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        """All names that the caller may ask for."""
        names = self._names(scope)
        if speaks_anthropic(scope):
            models = [self._anthropic(name) for name in names]
            ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
            await send_json(send, {"data": models, "has_more": False, **ends})
        else:
            await send_json(send, {"object": "list", "data": [self._openai(name) for name in names]})

    async def show_one(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One of them."""
        names = self._names(scope)
        name = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(f"{MODELS_PATH}/")
        if name not in names:
            raise unknown_model(name, names)
        await send_json(send, self._anthropic(name) if speaks_anthropic(scope) else self._openai(name))

    def _names(self, scope: Scope) -> list[str]:
        caller = self._access.authenticate(scope)
        return [name for name in self._routes().names() if caller.may_ask_for(name)]

    def _openai(self, name: str) -> dict[str, Any]:
        owner = "turnout" if name in self._routes().routes else "provider"
        return {"id": name, "object": "model", "created": self._created, "owned_by": owner}

    def _anthropic(self, name: str) -> dict[str, Any]:
        created = datetime.fromtimestamp(self._created, UTC).isoformat().replace("+00:00", "Z")
        return {"type": "model", "id": name, "display_name": name, "created_at": created}
