"""Serves a local model at an OpenAI-compatible address of the loopback, through llama.cpp."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from turnout.demo.local_models import LOCAL_MODELS, LocalModel
from turnout.demo.models import DemoModel
from turnout.errors import ArtifactError, MissingExtraError
from turnout.types import ModelPair

try:
    import xllamacpp
except ImportError as error:
    raise MissingExtraError("xllamacpp", extra="local-models", purpose="turnout demo --local-models") from error

_CONTEXT_TOKENS = 2048
_FIRST_TOKEN = '{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}'
_THREADS = 1  # llama.cpp's threads wait for each other in busy loops: on a machine at work two are slower than one


@asynccontextmanager
async def local_models(priced_as: ModelPair) -> AsyncIterator[tuple[DemoModel, DemoModel]]:
    """The strong and the weak local model, loaded and answering while the block runs.

    Raises:
        MissingModelError: the weights are not on this machine.
        ArtifactError: they are not the weights that were pulled, or cannot be loaded.
    """
    with ExitStack() as servers:
        strong, weak = (
            DemoModel.of(model.name, *servers.enter_context(_served(model, price)))
            for model, price in zip(LOCAL_MODELS, (priced_as.strong, priced_as.weak), strict=True)
        )
        yield strong, weak


@contextmanager
def _served(model: LocalModel, priced_as: str) -> Iterator[tuple[str, str, str]]:
    """The address of a model's server, whose price it has, and the key that it wants."""
    # Weights are checked before anything of theirs is parsed: the parser is native code.
    path = model.files.checked_folder() / model.gguf
    # The port is open to every program of this machine and every page in its browser, hence a key.
    key = secrets.token_urlsafe(24)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.chat_template = model.chat_template
    params.antiprompt = list(model.stop)
    params.api_keys = [key]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = _CONTEXT_TOKENS
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _THREADS
    params.fit_params = params.warmup = False
    params.offline = True
    params.ui = False
    params.verbosity = 0
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise ArtifactError(f"{path} cannot be loaded ({error}).") from error
    # The constructor returns before the server's loop runs, and a server that is stopped in between waits for ever,
    # whatever is pressed. Once a token has come out the loop runs.
    server.handle_chat_completions(_FIRST_TOKEN, lambda answer: False)
    try:
        yield f"{server.listening_address}/v1", priced_as, key
    finally:
        del server  # which stops it
