"""POST /v1/feedback: what a client says of an answer, kept beside the decision that brought it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from functools import partial

from turnout.errors import LedgerError
from turnout.gateway.asgi import Receive, Scope, Send, read_body, refuse_body, send_json
from turnout.gateway.errors import RequestError, unknown_model
from turnout.gateway.ledger.calls import LedgerCalls
from turnout.gateway.ledger.database import Connection
from turnout.gateway.ledger.feedback import Feedback, keep, rival
from turnout.gateway.ledger.reading import find_entry
from turnout.gateway.protocols.base import parse_object, refused
from turnout.gateway.protocols.error_shapes import openai_body
from turnout.gateway.steps.access import Access

MAX_BODY_BYTES = 10_000

_THUMBS = {"up": 1.0, "down": 0.0}
_KEYS = ("decision_id", "thumb", "score", "preferred")
_WRITTEN_WITHIN_S = 1.0
"""An answer can be judged before its entry is written."""
_LOOK_AGAIN_S = 0.2
_MAX_AT_ONCE = 32
"""Feedback that is being looked into; more would keep the ledger from what requests wait for."""


class FeedbackEndpoint:
    """Takes feedback from the holder of the key that the decision was made for."""

    def __init__(self, access: Access, calls: LedgerCalls, models: Callable[[], Collection[str]]) -> None:
        self._access = access
        self._calls = calls
        self._models = models
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            caller = self._access.authenticate(scope)
            raw = await read_body(scope, receive, limit=MAX_BODY_BYTES)
        except RequestError as error:
            await refuse_body(receive, send, error, openai_body(error))
            return
        feedback = parse_feedback(raw, self._models())
        if self._under_way >= _MAX_AT_ONCE:
            raise RequestError(
                429,
                "Too much feedback at once. Try again in a second.",
                type="rate_limit_exceeded",
                code="rate_limit_exceeded",
                headers=((b"retry-after", b"1"),),
            )
        self._under_way += 1
        try:
            await self._keep(feedback, caller.id)
        finally:
            self._under_way -= 1
        await send_json(send, {"decision_id": feedback.decision_id, "kept": True})

    async def _keep(self, feedback: Feedback, key_id: str | None) -> None:
        deadline = time.monotonic() + _WRITTEN_WITHIN_S
        try:
            while not await self._calls.run(partial(keep_if_theirs, feedback=feedback, key_id=key_id)):
                if time.monotonic() > deadline:
                    raise RequestError(
                        404,
                        "There is no such decision of yours. Its id stands in the answer's header "
                        "x-turnout-decision-id.",
                        code="decision_not_found",
                        param="decision_id",
                    )
                await asyncio.sleep(_LOOK_AGAIN_S)
        except LedgerError:
            raise RequestError(
                503, "The gateway cannot keep feedback at present. Try again soon.", type="server_error"
            ) from None


def parse_feedback(raw: bytes, models: Collection[str]) -> Feedback:
    """The feedback in a body, or a RequestError that names the field which cannot be used.

    Args:
        raw: a JSON object.
        models: the models that may be preferred.
    """
    body = parse_object(raw)
    if unknown := sorted(body.keys() - set(_KEYS)):
        raise refused(f"There is no field '{unknown[0][:100]}'. Known: {', '.join(_KEYS)}.", param=unknown[0][:100])
    id = body.get("decision_id")
    if not isinstance(id, str) or not id or len(id) > 100:
        raise refused(
            "'decision_id' must be given: what the answer's header x-turnout-decision-id says.", param="decision_id"
        )
    given = [name for name in _KEYS[1:] if body.get(name) is not None]
    if len(given) != 1:
        raise refused(
            "Give one of 'thumb' (\"up\" or \"down\"), 'score' (from 0 to 1) and 'preferred' (a model's name), "
            f"got {' and '.join(given) or 'none'}."
        )
    value = body[given[0]]
    if given[0] == "preferred":
        if not isinstance(value, str) or not value:
            raise refused("'preferred' must be the name of a model.", param="preferred")
        if value not in models:
            raise unknown_model(value, models, param="preferred")
        return Feedback(id, "preferred", preferred=value)
    if given[0] == "thumb":
        if not isinstance(value, str) or value not in _THUMBS:
            raise refused('\'thumb\' must be "up" or "down".', param="thumb")
        return Feedback(id, "score", score=_THUMBS[value])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise refused("'score' must be a number from 0 to 1.", param="score")
    return Feedback(id, "score", score=float(value))


def keep_if_theirs(connection: Connection, feedback: Feedback, key_id: str | None) -> bool:
    """Keep what was said; False if there is no such decision of this key's.

    Raises:
        RequestError: the model that answered is preferred, but to which other is not known.
    """
    entry = find_entry(connection, feedback.decision_id)
    if entry is None or entry.key_id != key_id:
        return False
    if feedback.preferred is not None and rival(entry, feedback.preferred) is None:
        raise refused(
            f"'preferred' is the model that answered, and there was no other to choose: '{entry.model}' was asked for "
            "by its own name.",
            param="preferred",
        )
    keep(connection, feedback)
    return True
