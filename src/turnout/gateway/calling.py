"""The seam for calling a model. Here the chosen one is called at its one address."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from turnout.chat_client import UpstreamAnswer
from turnout.gateway.account import Account


class Upstream(Protocol):
    """Gets an answer to a request from one of the models that may give it."""

    def open(self, account: Account, headers: Mapping[str, str]) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """`async with upstream.open(account, headers) as answer`: an answer that has begun, whatever its status.

        Sets `account.model` and `account.bridge` to what is tried, and `account.called`. Only before an answer has
        begun may something else be tried. Leaving the block early tells the provider to stop.

        Raises:
            RequestError: the request cannot be put to the model.
            UpstreamError: no answer began.
        """
        ...


class DirectUpstream:
    """Calls the chosen model."""

    def open(self, account: Account, headers: Mapping[str, str]) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """One call, with the retries that the model's client makes."""
        request, model = account.request, account.model
        bridge = request.protocol.bridge_to(model.config)
        body = bridge.body(request, model.config)
        account.bridge = bridge
        account.called = time.perf_counter()
        return model.client.open(body, path=bridge.path, headers=headers)
