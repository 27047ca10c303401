"""Turnout inside LiteLLM: over stand-ins for its classes, and inside its Router and its proxy where it is installed."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI
from running_gateway import KeywordRouter
from scripted_provider import Provider, plain

from turnout import ModelPair
from turnout.config import Config, parse_config
from turnout.errors import ConfigError, MissingExtraError

HAS_LITELLM = importlib.util.find_spec("litellm") is not None
HAS_PROXY = HAS_LITELLM and importlib.util.find_spec("apscheduler") is not None
pytestmark = pytest.mark.filterwarnings("default")  # LiteLLM's own

EASY: Any = [{"role": "user", "content": "an easy one"}]
HARD: Any = [{"role": "user", "content": "a hard one"}]
TOOLS: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
CONFIG = """
[models.big]
protocol = "litellm"

[models.small]
protocol = "litellm"
tools = false
context_window = 100000

[routes.auto]
router = "fake"
strong = "big"
weak = "small"
threshold = 0.5
"""


def config() -> Config:
    import tomllib

    return parse_config(tomllib.loads(CONFIG))


def routers() -> dict[str, KeywordRouter]:
    router = KeywordRouter()
    router.pair_ = ModelPair("big", "small")
    return {"fake": router}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=plain()) as provider:
        yield provider


def models_asked(provider: Provider) -> list[str]:
    """LiteLLM's proxy asks for a list of models too."""
    return [request.body["model"] for request in provider.requests if request.path.endswith("/chat/completions")]


class BadRequest(Exception):
    """Stands in for LiteLLM's BadRequestError."""

    def __init__(self, message: str, model: str, llm_provider: str) -> None:
        super().__init__(message)
        self.status_code = 400


@pytest.fixture
def compat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """turnout.compat.litellm, over stand-ins where the library is not installed."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    if not HAS_LITELLM:
        for name, content in {
            "litellm": {"BadRequestError": BadRequest},
            "litellm.integrations": {},
            "litellm.integrations.custom_logger": {"CustomLogger": type("CustomLogger", (), {})},
            "litellm.types": {},
            "litellm.types.router": {"CustomRoutingStrategyBase": type("CustomRoutingStrategyBase", (), {})},
        }.items():
            module = ModuleType(name)
            module.__dict__.update(content)
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, "turnout.compat.litellm", raising=False)
    yield importlib.import_module("turnout.compat.litellm")
    if not HAS_LITELLM:
        sys.modules.pop("turnout.compat.litellm", None)


@pytest.mark.skipif(HAS_LITELLM, reason="LiteLLM is installed")
def test_without_litellm_the_extra_is_named() -> None:
    with pytest.raises(MissingExtraError, match=r"turnout\[litellm\]"):
        importlib.import_module("turnout.compat.litellm")


async def call(hook: Any, **data: Any) -> dict[str, Any]:
    changed: dict[str, Any] = await hook.async_pre_call_hook(None, None, data, "completion")
    return changed


async def test_the_hook_puts_the_models_name_in_place_of_the_routes(compat: Any) -> None:
    hook = compat.TurnoutHook(config(), routers=routers())
    assert [(await call(hook, model="auto", messages=turn))["model"] for turn in (EASY, HARD)] == ["small", "big"]
    assert (await call(hook, model="auto", input="a hard one"))["model"] == "big"
    untouched = {"model": "small", "messages": HARD}
    assert await call(hook, **untouched) == untouched
    assert await call(hook, model="auto", prompt="no conversation") == {"model": "auto", "prompt": "no conversation"}


async def test_the_hook_weighs_the_whole_request_and_says_why(compat: Any) -> None:
    hook = compat.TurnoutHook(config(), routers=routers())
    data = await call(
        hook, model="auto", messages=EASY, tools=TOOLS, metadata={"mine": 1}, litellm_logging_obj=object()
    )
    assert (data["model"], data["metadata"]["mine"]) == ("big", 1)
    headers = await hook.async_post_call_response_headers_hook(data, None, None)
    assert headers["x-turnout-reason"] == "'small' takes no tools"
    assert (headers["x-turnout-route"], headers["x-turnout-model"]) == ("auto", "big")


async def test_what_a_client_calls_turnouts_does_not_become_a_header(compat: Any) -> None:
    hook = compat.TurnoutHook(config(), routers=routers())
    data = await call(hook, model="small", messages=HARD, metadata={"turnout": {"set-cookie": "theirs"}})
    assert await hook.async_post_call_response_headers_hook(data, None, None) is None


async def test_what_no_model_can_take_is_a_bad_request(compat: Any) -> None:
    hook = compat.TurnoutHook(config(), routers=routers())
    with pytest.raises(compat.BadRequestError, match="at least one message") as raised:
        await call(hook, model="auto", messages=[])
    assert raised.value.status_code == 400


class Deployments:
    """Stands in for LiteLLM's Router."""

    def get_model_names(self) -> list[str]:
        return ["big", "small"]

    def get_available_deployment(self, model: str, **more: Any) -> tuple[str, Any]:
        return model, more

    async def async_get_available_deployment(self, model: str, **more: Any) -> tuple[str, Any]:
        return model, more


@pytest.mark.parametrize(("turn", "model"), [(EASY, "small"), (HARD, "big")])
async def test_the_strategy_leaves_the_choice_of_a_deployment_to_litellm(compat: Any, turn: Any, model: str) -> None:
    strategy = compat.TurnoutStrategy(Deployments(), config(), routers=routers())
    given = {"messages": turn, "input": None, "request_kwargs": {"seed": 1}, "specific_deployment": False}
    assert await strategy.async_get_available_deployment("auto", **given) == (model, given)
    assert await asyncio.to_thread(strategy.get_available_deployment, "auto", **given) == (model, given)
    assert strategy.get_available_deployment("auto", **given) == (model, given), "even on a loop"
    assert (await strategy.async_get_available_deployment("other", **given))[0] == "other"


def test_a_model_that_litellm_does_not_know_is_named(compat: Any) -> None:
    class Others(Deployments):
        def get_model_names(self) -> list[str]:
            return ["big", "tiny"]

    with pytest.raises(ConfigError, match=r"no 'small'.*big, tiny"):
        compat.TurnoutStrategy(Others(), config(), routers=routers())


def model_list(provider: Provider) -> list[dict[str, Any]]:
    return [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/real-{name}", "api_base": provider.base_url, "api_key": "sk-1"},
        }
        for name in ("big", "small")
    ]


@pytest.mark.skipif(not HAS_LITELLM, reason="LiteLLM is not installed")
async def test_litellms_router(provider: Provider, compat: Any) -> None:
    import litellm

    router = litellm.Router(model_list=model_list(provider), num_retries=0)
    strategy = compat.TurnoutStrategy(router, config(), routers=routers())
    router.set_custom_routing_strategy(strategy)
    for turn in (EASY, HARD):
        found = await router.acompletion(model="auto", messages=turn)
        assert found.choices[0].message.content == "Paris."
    await router.acompletion(model="auto", messages=EASY, tools=TOOLS)
    await asyncio.to_thread(router.completion, model="auto", messages=HARD)
    await router.acompletion(model="small", messages=HARD)
    assert models_asked(provider) == ["real-small", "real-big", "real-big", "real-big", "real-small"]


HOOK = """
from running_gateway import KeywordRouter
from turnout import ModelPair
from turnout.compat.litellm import TurnoutHook

router = KeywordRouter()
router.pair_ = ModelPair("big", "small")
hook = TurnoutHook({config!r}, routers={{"fake": router}})
"""


@pytest.mark.skipif(not HAS_PROXY, reason="LiteLLM's proxy is not installed")
async def test_litellms_proxy(provider: Provider, tmp_path: Path) -> None:
    import yaml

    (tmp_path / "turnout.toml").write_text(CONFIG)
    (tmp_path / "turnout_hook.py").write_text(HOOK.format(config=str(tmp_path / "turnout.toml")))
    settings = {
        "model_list": model_list(provider),
        "litellm_settings": {"callbacks": "turnout_hook.hook"},
        "general_settings": {"master_key": "sk-master"},
    }
    (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1] / "gateway")]),
    }
    command = [str(Path(sys.executable).parent / "litellm"), "--config", "proxy.yaml", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        proxy = subprocess.Popen(
            [*command, "--host", "127.0.0.1"], cwd=tmp_path, env=environment, stdout=log, stderr=log
        )
    try:
        await until_ready(f"http://127.0.0.1:{port}/health/readiness", proxy, tmp_path / "log")
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-master", max_retries=0) as client:
            ask = client.chat.completions.with_raw_response.create
            easy, hard = [await ask(model="auto", messages=turn) for turn in (EASY, HARD)]
    finally:
        proxy.terminate()
        proxy.wait(30)
    assert models_asked(provider) == ["real-small", "real-big"]
    assert [answer.headers["x-turnout-model"] for answer in (easy, hard)] == ["small", "big"]
    assert hard.headers["x-turnout-win-rate"] == "0.900000"


async def until_ready(url: str, proxy: subprocess.Popen[bytes], log: Path) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(120):
        while True:
            assert proxy.poll() is None, log.read_text()
            try:
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.3)
