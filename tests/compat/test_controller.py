"""RouteLLM's calls against a provider on a real socket, among them a script from its README."""

from __future__ import annotations

import asyncio
import json
import runpy
import subprocess
import sys
import textwrap
import warnings
from typing import Any

import numpy as np
import pytest
from hub_server import Blob, HubServer
from scripted_provider import Provider, answer, plain, streamed

from turnout.compat.routellm import Controller, RoutingError, checkpoints
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import ConfigError, UpstreamStatusError, UpstreamTimeoutError
from turnout.routers.base import Router

PAIR = {"strong_model": "gpt-4-1106-preview", "weak_model": "anyscale/mistralai/Mixtral-8x7B-Instruct-v0.1"}
HELLO = [{"role": "user", "content": "Hello!"}]
N_INPUTS = 12


@pytest.fixture
def controller(mf_folder, provider):
    return Controller(routers=["mf", "random"], config={"mf": {"checkpoint_path": str(mf_folder)}}, **PAIR)


async def in_thread(function, *args, **kwargs):
    """A plain call, while the provider's event loop runs here."""
    return await asyncio.to_thread(function, *args, **kwargs)


def chats(provider: Provider) -> list[Any]:
    return [request for request in provider.requests if request.path.endswith("/chat/completions")]


QUICKSTART = """
import os
from turnout.compat.routellm import Controller

os.environ["OPENAI_API_KEY"] = "sk-XXXXXX"
# Replace with your model provider, we use Anyscale's Mixtral here.
os.environ["ANYSCALE_API_KEY"] = "esecret_XXXXXX"

client = Controller(
  routers=["mf"],
  strong_model="gpt-4-1106-preview",
  weak_model="anyscale/mistralai/Mixtral-8x7B-Instruct-v0.1",
)
response = client.chat.completions.create(
  # This tells RouteLLM to use the MF router with a cost threshold of 0.11593
  model="router-mf-0.11593",
  messages=[
    {"role": "user", "content": "Hello!"}
  ]
)
said = response.choices[0].message.content
"""


async def test_a_script_of_routellms_readme_runs_unchanged_but_for_the_import(
    provider, mf_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(checkpoints, "_PINNED", {})  # the checkpoint of this name on the loopback hub is a tiny one
    (tmp_path / "quickstart.py").write_text(QUICKSTART)
    blob = Blob((mf_folder / "model.safetensors").read_bytes())
    with HubServer({"/routellm/mf_gpt4_augmented/resolve/main/model.safetensors": blob}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a threshold of theirs means something with a checkpoint of theirs
            names = await in_thread(runpy.run_path, str(tmp_path / "quickstart.py"))
    assert names["said"] == "Paris."
    embeddings, chat = provider.requests
    assert embeddings.body["model"] == "text-embedding-3-small"
    assert embeddings.headers["authorization"] == "Bearer sk-XXXXXX"
    assert chat.body == {"model": "gpt-4-1106-preview", "messages": HELLO}


async def test_the_threshold_in_the_name_decides_and_the_prefix_of_the_provider_stays_here(controller, provider):
    rate = float((await in_thread(controller.batch_calculate_win_rate, ["Hello!"], "mf"))[0])
    await in_thread(controller.chat.completions.create, model=f"router-mf-{rate}", messages=HELLO, temperature=0)
    await in_thread(controller.chat.completions.create, model=f"router-mf-{rate + 1e-9}", messages=HELLO)
    strong, weak = chats(provider)
    assert strong.body == {"model": "gpt-4-1106-preview", "messages": HELLO, "temperature": 0}
    assert strong.headers["authorization"] == "Bearer sk-openai_api_key"
    assert weak.body["model"] == "mistralai/Mixtral-8x7B-Instruct-v0.1"
    assert weak.headers["authorization"] == "Bearer sk-anyscale_api_key"
    assert controller.model_counts["mf"] == {PAIR["strong_model"]: 1, PAIR["weak_model"]: 1}


async def test_router_and_threshold_may_be_arguments(controller, provider):
    said = await in_thread(controller.completion, router="mf", threshold=0.0, messages=HELLO, top_p=None)
    assert said["choices"][0]["message"]["content"] == said.choices[0].message.content == "Paris."
    assert said.usage.total_tokens == 37
    assert said.choices[0].message.tool_calls is None
    with pytest.raises(AttributeError, match="no 'colour'"):
        _ = said.colour
    assert "top_p" not in chats(provider)[0].body


async def test_asynchronous_calls_work_in_the_callers_loop(controller, provider):
    asked = [controller.chat.completions.acreate(model="router-mf-0.0", messages=HELLO) for _ in range(5)]
    said = await asyncio.gather(*asked)
    assert [one.choices[0].message.content for one in said] == ["Paris."] * 5


async def test_streams_come_chunk_by_chunk_in_both_ways(controller, provider):
    def text():
        chunks = controller.completion(model="router-mf-0.0", messages=HELLO, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert await in_thread(text) == "Paris."
    chunks = await controller.acompletion(model="router-mf-0.0", messages=HELLO, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in chunks]) == "Paris."
    assert all(chat.body["stream"] for chat in chats(provider))


async def test_a_stream_that_is_left_early_is_closed(controller, provider):
    provider.default = streamed(b'data: {"choices": []}\n\n', 25.0)
    controller.routers["mf"].encoder = HashingEncoder(dim=N_INPUTS)
    chunks = await controller.acompletion(model="router-mf-0.0", messages=HELLO, stream=True)
    async for _ in chunks:
        break
    await chunks.aclose()
    async with asyncio.timeout(30):
        while not provider.clients_gone:
            await asyncio.sleep(0.01)
    assert provider.clients_gone == 1


async def test_the_last_message_alone_is_routed_by(controller, provider):
    controller.routers["mf"].encoder = HashingEncoder(dim=N_INPUTS)
    rates = dict(zip("ab", controller.batch_calculate_win_rate(["a", "b"], "mf"), strict=True))
    threshold = float(np.mean(list(rates.values())))
    for order in ("ab", "ba"):
        messages = [{"role": "user", "content": text} for text in order]
        await controller.acompletion(router="mf", threshold=threshold, messages=messages)
    names = {True: PAIR["strong_model"], False: "mistralai/Mixtral-8x7B-Instruct-v0.1"}
    expected = [names[rates[text] >= threshold] for text in "ba"]
    assert [chat.body["model"] for chat in chats(provider)] == expected
    assert expected[0] != expected[1]


@pytest.mark.parametrize(
    ("message", "prompt"),
    [
        ({"role": "user", "content": "x" * 5_000}, "x" * 5_000),
        ({"role": "tool", "content": "42"}, "42"),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}, "a"),
        ({"role": "assistant", "content": None}, ""),
    ],
)
async def test_the_last_message_is_read_whole_whoever_wrote_it(controller, provider, monkeypatch, message, prompt):
    seen = []
    monkeypatch.setattr(controller, "route", lambda text, *_: seen.append(text) or PAIR["strong_model"])
    await controller.acompletion(model="router-mf-0.5", messages=[*HELLO, message])
    assert seen == [prompt]


async def test_another_address_and_key_hold_for_both_models(mf_folder, provider):
    client = Controller(
        routers=["random"],
        strong_model="openai/big",
        weak_model="my-lab/small",
        api_base=provider.base_url,
        api_key="sk-mine",
    )
    await client.acompletion(router="random", threshold=0, messages=HELLO)
    await client.acompletion(router="random", threshold=1, messages=HELLO)
    assert [chat.body["model"] for chat in chats(provider)] == ["big", "my-lab/small"]
    assert {chat.headers["authorization"] for chat in chats(provider)} == {"Bearer sk-mine"}


async def test_what_goes_wrong_at_the_provider_is_told(controller, provider, monkeypatch):
    controller.routers["mf"].encoder = HashingEncoder(dim=N_INPUTS)
    provider.script = [plain({"error": {"message": "no"}}, status="401 Unauthorized")]
    with pytest.raises(UpstreamStatusError, match="401"):
        await controller.acompletion(model="router-mf-0.0", messages=HELLO)
    provider.script = [streamed(5.0)]
    with pytest.raises(UpstreamTimeoutError, match=r"0\.2 ran out"):
        await controller.acompletion(model="router-mf-0.0", messages=HELLO, timeout=0.2)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        await controller.acompletion(model="router-mf-0.0", messages=HELLO)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "gpt-4"}, "router-NAME-THRESHOLD, got 'gpt-4'"),
        ({"model": "router-mf-high"}, "must be a number, got 'high'"),
        ({"model": "router-mf-1.5"}, r"in \[0, 1\], got 1\.5"),
        ({"model": "router-mf-nan"}, r"in \[0, 1\], got nan"),
        ({"model": "router-bert-0.5"}, "no router 'bert' here. There are: mf, random"),
        ({"router": "mf"}, "a router and a threshold"),
        ({"model": "router-mf-0.5", "messages": []}, "at least one message"),
    ],
)
def test_a_request_that_cannot_be_routed_says_why(mf_folder, arguments, message):
    client = Controller(routers=["mf", "random"], config={"mf": {"checkpoint_path": str(mf_folder)}}, **PAIR)
    with pytest.raises(RoutingError, match=message):
        client.completion(**{"messages": HELLO, **arguments})


def offline(mf_folder, **settings):
    client = Controller(routers=["mf"], config={"mf": {"checkpoint_path": str(mf_folder)}}, **{**PAIR, **settings})
    client.routers["mf"].encoder = HashingEncoder(dim=N_INPUTS)
    return client


def test_the_pair_scored_is_the_trained_one_whatever_is_served(mf_folder):
    # Both of these are among the checkpoint's models, and still are not what is scored.
    other = offline(mf_folder, strong_model="gpt-4-0613", weak_model="vicuna-13b")
    prompts = ["one", "two", "three"]
    np.testing.assert_array_equal(
        other.batch_calculate_win_rate(prompts, "mf"), offline(mf_folder).batch_calculate_win_rate(prompts, "mf")
    )
    assert {other.route(prompt, "mf", 0.0) for prompt in prompts} == {"gpt-4-0613"}
    assert {other.route(prompt, "mf", 1.0) for prompt in prompts} == {"vicuna-13b"}


def test_win_rates_of_a_series_are_a_series(mf_folder):
    class Series(list):  # what is used of pandas
        def __init__(self, values, index):
            super().__init__(values)
            self.index = index

        def to_numpy(self):
            return np.array(self)

    rates = offline(mf_folder).batch_calculate_win_rate(Series(["one", "two"], index=[7, 9]), "mf")
    assert type(rates) is Series
    assert rates.index == [7, 9]


def test_no_win_rate_is_1_as_in_the_released_code(mf_folder, monkeypatch):
    client = offline(mf_folder)
    monkeypatch.setattr(client.routers["mf"], "predict_win_rate", lambda prompts: np.array([np.nan, 0.25]))
    assert client.batch_calculate_win_rate(["a", "b"], "mf").tolist() == [1.0, 0.25]
    monkeypatch.setattr(client.routers["mf"], "predict_win_rate", lambda prompts: np.array([np.nan]))
    assert client.route("a", "mf", 1.0) == PAIR["strong_model"]


def test_a_router_of_our_own_warns_once_and_names_calibrate(tmp_path, mf_folder):
    from turnout.data.battles import Battles
    from turnout.routers.baselines import AlwaysStrong
    from turnout.types import ModelPair

    battles = Battles.from_columns(["q"], "a", "b", [1.0]).for_pair(ModelPair("a", "b"))
    AlwaysStrong().fit(battles).save(tmp_path / "mine")
    client = Controller(routers=["mf"], config={"mf": {"checkpoint_path": str(tmp_path / "mine")}}, **PAIR)
    with pytest.warns(UserWarning, match="not a checkpoint of RouteLLM's.*turnout calibrate"):
        assert client.route("q", "mf", 0.11593) == PAIR["strong_model"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.route("q", "mf", 0.11593)
        offline(mf_folder).route("q", "mf", 0.11593)


def test_a_router_folder_may_be_named_itself(tmp_path, mf_folder):
    offline(mf_folder).routers["mf"].save(tmp_path / "saved")
    client = Controller(routers=[str(tmp_path / "saved")], **PAIR)
    assert isinstance(client.routers[str(tmp_path / "saved")], Router)


def test_progress_is_said_where_it_is_asked_for(mf_folder, capsys):
    offline(mf_folder)
    assert capsys.readouterr().err == ""
    offline(mf_folder, progress_bar=True)
    assert capsys.readouterr().err == "Loading mf\n"


def test_importing_it_brings_neither_torch_nor_pandas():
    script = """
        import sys
        import turnout.compat.routellm
        print([name for name in ("torch", "transformers", "pandas", "yaml") if name in sys.modules])
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_an_answer_is_json(mf_folder):
    from turnout.compat.routellm.answers import Answer

    assert json.loads(json.dumps(Answer(answer()))) == answer() == Answer(answer()).model_dump()
