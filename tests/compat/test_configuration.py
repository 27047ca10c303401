import sys

import pytest

from turnout.compat.routellm import Controller, read_config
from turnout.compat.routellm.model_names import PROVIDERS, address_of
from turnout.errors import ConfigError, InvalidValueError, MissingExtraError

pytest.importorskip("yaml")

EXAMPLE = """
sw_ranking:
    arena_battle_datasets:
      - lmsys/lmsys-arena-human-preference-55k
mf:
    checkpoint_path: {folder}
    hidden_size: 8
random: {{}}
"""


def test_a_yaml_file_in_routellms_form(tmp_path, mf_folder):
    path = tmp_path / "config.yaml"
    path.write_text(EXAMPLE.format(folder=mf_folder))
    assert read_config(path)["mf"] == {"checkpoint_path": str(mf_folder), "hidden_size": 8}
    client = Controller(routers=["mf"], strong_model="a", weak_model="b", config=path)
    assert client.routers["mf"].factors_["output"].shape == (8,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- mf", "expected router names"),
        ("mf: here", "'mf' must have arguments"),
        ("mf: {", "cannot be read"),
        ("mf: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_another_file_says_what_is_wrong(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"config.yaml.*{message}"):
        read_config(tmp_path / "config.yaml")


def test_an_empty_file_and_a_missing_one(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    assert read_config(tmp_path / "config.yaml") == {}
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path / "none.yaml")


def test_without_pyyaml_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"turnout\[routellm\]"):
        read_config(tmp_path / "config.yaml")


@pytest.fixture(autouse=True)
def no_addresses(monkeypatch):
    for name in [*(f"{prefix.upper()}_API_BASE" for prefix in PROVIDERS), "OPENAI_BASE_URL"]:
        monkeypatch.delenv(name, raising=False)
    for provider in PROVIDERS.values():
        for variable in provider.key_variables:
            monkeypatch.setenv(variable, f"key of {variable}")


@pytest.mark.parametrize(
    ("name", "model", "base_url", "key"),
    [
        ("gpt-4-1106-preview", "gpt-4-1106-preview", "https://api.openai.com/v1", "key of OPENAI_API_KEY"),
        ("openai/gpt-4o", "gpt-4o", "https://api.openai.com/v1", "key of OPENAI_API_KEY"),
        ("claude-3-opus", "claude-3-opus", "https://api.anthropic.com/v1", "key of ANTHROPIC_API_KEY"),
        ("groq/llama3-8b", "llama3-8b", "https://api.groq.com/openai/v1", "key of GROQ_API_KEY"),
        ("openrouter/meta/llama", "meta/llama", "https://openrouter.ai/api/v1", "key of OPENROUTER_API_KEY"),
        ("ollama_chat/llama3", "llama3", "http://localhost:11434/v1", None),
    ],
)
def test_names_as_litellm_writes_them(name, model, base_url, key):
    address = address_of(name)
    assert (address.model, address.base_url, address.api_key) == (model, base_url, key)


def test_the_environment_may_name_other_addresses(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://one/v1")
    assert address_of("gpt-4").base_url == "http://one/v1"
    monkeypatch.setenv("OPENAI_API_BASE", "http://two/v1")
    assert address_of("gpt-4").base_url == "http://two/v1"
    monkeypatch.setenv("OLLAMA_API_BASE", "http://three:11434/")
    assert address_of("ollama/llama3").base_url == "http://three:11434/v1"
    assert address_of("gpt-4", api_base="http://four/v1").base_url == "http://four/v1"


def test_what_cannot_be_called_says_why(monkeypatch):
    with pytest.raises(InvalidValueError, match="'bedrock' in the model name 'bedrock/x' is no provider"):
        address_of("bedrock/x")
    with pytest.raises(InvalidValueError, match="HOSTED_VLLM_API_BASE"):
        address_of("hosted_vllm/x")
    monkeypatch.delenv("TOGETHERAI_API_KEY")
    assert address_of("together_ai/x").api_key == "key of TOGETHER_API_KEY"
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(ConfigError, match="TOGETHERAI_API_KEY is not set; 'together_ai/x' needs its key"):
        address_of("together_ai/x")


def test_a_key_is_not_shown():
    assert "secret" not in repr(address_of("gpt-4", api_key="secret"))
