"""Win rates of checkpoints in RouteLLM's layouts, against its formulas written out plainly."""

import os

import numpy as np
import pytest
from hub_server import Blob, HubServer
from safetensors.numpy import save_file

from turnout import registry
from turnout.compat.routellm import MODEL_NAMES, TRAINED_PAIR, checkpoints, load_router
from turnout.compat.routellm.checkpoints import is_released
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.hashing import HashingEncoder
from turnout.encoders.openai import OpenAIEncoder
from turnout.errors import (
    ArtifactError,
    EncoderMismatchError,
    InvalidValueError,
    MissingExtraError,
    UnknownNameError,
    UpstreamUnreachableError,
)
from turnout.routers.base import Router

N_INPUTS = 12
QUERIES = ["prove that a b c", "poem", "hello hello ?", "a b c " * 30]


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def mf_win_rate(weights, vector, strong=24, weak=36):
    """sigmoid of the difference of the two models' logits, as documented: rows of P scaled to length 1."""
    p = weights["P.weight"].astype(np.float64)
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    projected = weights["text_proj.0.weight"].astype(np.float64) @ vector.astype(np.float64)
    logit = [float(weights["classifier.0.weight"][0] @ (p[model] * projected)) for model in (strong, weak)]
    return 1 / (1 + np.exp(logit[1] - logit[0]))


def test_the_models_are_named_as_the_rows_of_the_checkpoint_are():
    assert len(set(MODEL_NAMES)) == 64
    assert (MODEL_NAMES.index(TRAINED_PAIR.strong), MODEL_NAMES.index(TRAINED_PAIR.weak)) == (24, 36)


def test_mf_scores_as_the_released_formula_does(mf_folder, mf_weights):
    encoder = HashingEncoder(dim=N_INPUTS)
    router = load_router("mf", {"checkpoint_path": str(mf_folder)}, encoder=encoder)
    expected = [mf_win_rate(mf_weights, vector) for vector in encoder.encode(QUERIES)]
    np.testing.assert_allclose(router.predict_win_rate(QUERIES), expected, atol=1e-6)
    assert router.pair_ == TRAINED_PAIR
    assert np.ptp(expected) > 0.05


def test_mf_can_be_asked_for_another_pair_of_its_models(mf_folder, mf_weights):
    encoder = HashingEncoder(dim=N_INPUTS)
    names = {"strong_model": "gpt-4-0613", "weak_model": "vicuna-13b"}
    router = load_router("mf", {"checkpoint_path": str(mf_folder), "hidden_size": 8, **names}, encoder=encoder)
    expected = mf_win_rate(mf_weights, encoder.encode(["poem"])[0], MODEL_NAMES.index("gpt-4-0613"), 56)
    assert router.predict_win_rate(["poem"])[0] == pytest.approx(expected, abs=1e-6)


def test_mf_from_a_torch_file_of_weights_alone(mf_folder, mf_weights, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(value) for name, value in mf_weights.items()}, tmp_path / "mf.pt")
    encoder = HashingEncoder(dim=N_INPUTS)
    same = load_router("mf", {"checkpoint_path": str(mf_folder)}, encoder=encoder).predict_win_rate(QUERIES)
    router = load_router("mf", {"checkpoint_path": str(tmp_path / "mf.pt")}, encoder=encoder)
    np.testing.assert_array_equal(router.predict_win_rate(QUERIES), same)


def test_a_torch_file_with_code_in_it_is_refused_and_not_run(tmp_path):
    torch = pytest.importorskip("torch")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it ran"),)

    torch.save({"P.weight": Evil()}, tmp_path / "mf.pt")
    with pytest.raises(ArtifactError, match=r"mf\.pt cannot be read as a torch file of weights alone"):
        load_router("mf", {"checkpoint_path": str(tmp_path / "mf.pt")}, encoder=HashingEncoder(dim=N_INPUTS))
    assert not (tmp_path / "it ran").exists()


def test_mf_wants_vectors_of_the_length_it_was_trained_with(mf_folder):
    with pytest.raises(EncoderMismatchError, match="12 dimensions.*hashing of 16"):
        load_router("mf", {"checkpoint_path": str(mf_folder)}, encoder=HashingEncoder(dim=16))


def test_mf_asks_openai_for_vectors_by_default(mf_folder, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    encoder = load_router("mf", {"checkpoint_path": str(mf_folder)}).encoder
    assert isinstance(encoder, CachedEncoder)
    assert isinstance(encoder.inner, OpenAIEncoder)
    assert (encoder.inner.model, encoder.inner.base_url) == ("text-embedding-3-small", "http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P.weight": None}, "'P.weight' is missing; this is not"),
        ({"P.weight": np.zeros((63, 8), np.float32)}, r"shape \(63, 8\), expected 64 × any finite"),
        ({"text_proj.0.weight": np.zeros((7, 12), np.float32)}, r"shape \(7, 12\), expected 8 × any finite"),
        ({"classifier.0.weight": np.full((1, 8), np.nan, np.float32)}, "expected 1 × 8 finite numbers"),
    ],
)
def test_a_checkpoint_of_another_layout_says_what_is_wrong(mf_folder, mf_weights, change, message):
    weights = {name: value for name, value in {**mf_weights, **change}.items() if value is not None}
    save_file(weights, mf_folder / "model.safetensors")
    with pytest.raises(ArtifactError, match=message):
        load_router("mf", {"checkpoint_path": str(mf_folder)}, encoder=HashingEncoder(dim=N_INPUTS))


def test_a_damaged_file_and_an_empty_folder_are_named(mf_folder, tmp_path):
    (mf_folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ArtifactError, match=r"model\.safetensors cannot be read"):
        load_router("mf", {"checkpoint_path": str(mf_folder)})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load_router("mf", {"checkpoint_path": str(tmp_path / "empty")})


@pytest.fixture
def hub(monkeypatch, tmp_path, mf_folder):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    content = (mf_folder / "model.safetensors").read_bytes()
    pinned, _ = checkpoints._PINNED["routellm/mf_gpt4_augmented"]
    files = {
        "/someone/mf/resolve/main/model.safetensors": Blob(content),
        f"/routellm/mf_gpt4_augmented/resolve/{pinned}/model.safetensors": Blob(content),
    }
    with HubServer(files) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_mf_from_a_name_on_the_hub_is_fetched_once(hub, mf_folder, monkeypatch):
    encoder = HashingEncoder(dim=N_INPUTS)
    rates = load_router("mf", {"checkpoint_path": "someone/mf"}, encoder=encoder).predict_win_rate(QUERIES)
    same = load_router("mf", {"checkpoint_path": str(mf_folder)}, encoder=encoder).predict_win_rate(QUERIES)
    np.testing.assert_array_equal(rates, same)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    load_router("mf", {"checkpoint_path": "someone/mf"}, encoder=encoder)


def test_the_released_checkpoint_must_have_the_published_hash(hub):
    with pytest.raises(ArtifactError, match="expected bfc93d473b48f8b8"):
        load_router("mf", {"checkpoint_path": "routellm/mf_gpt4_augmented"})


def test_a_hub_out_of_reach_is_said(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UpstreamUnreachableError, match="refused"):
        load_router("mf", {"checkpoint_path": "someone/mf"})


def test_a_loaded_checkpoint_can_be_saved_and_served_as_a_router_folder(mf_folder, tmp_path):
    router = load_router("mf", {"checkpoint_path": str(mf_folder)}, encoder=HashingEncoder(dim=N_INPUTS))
    router.save(tmp_path / "saved")
    loaded = Router.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.predict_win_rate(QUERIES), router.predict_win_rate(QUERIES))
    assert is_released(loaded)
    again = load_router("anything", {"checkpoint_path": str(tmp_path / "saved")})
    assert is_released(again)
    assert again.pair_ == TRAINED_PAIR


def test_bert_gives_ties_to_weak_as_the_released_code_does(bert_folder):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    network = transformers.AutoModelForSequenceClassification.from_pretrained(bert_folder, num_labels=3).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert_folder)
    expected = []
    for query in QUERIES:
        with torch.no_grad():
            logits = network(**tokenizer(query, return_tensors="pt", padding=True, truncation=True)).logits
        expected.append(1 - softmax(logits.numpy()[0].astype(np.float64))[-2:].sum())
    router = load_router("bert", {"checkpoint_path": str(bert_folder)})
    np.testing.assert_allclose(router.predict_win_rate(QUERIES), expected, atol=1e-6)
    assert np.ptp(expected) > 0.05
    assert is_released(router)


@pytest.mark.parametrize("name", ["bert", "causal_llm"])
def test_a_transformer_that_is_not_there_is_one_clear_line(name, tmp_path):
    pytest.importorskip("turnout.routers.bert", exc_type=MissingExtraError)
    (tmp_path / "nothing").mkdir()
    with pytest.raises((InvalidValueError, ArtifactError), match="cannot be"):
        load_router(name, {"checkpoint_path": str(tmp_path / "nothing")})


def causal_win_rate(network, tokenizer, system, question, query):
    """P(score < 4) at the first label among six tokens written greedily, and where it stood; None without one."""
    import torch

    head = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"
    text = head.format("system", system.strip()) + head.format("user", question.format(question=query).strip())
    ids = tokenizer.encode(text)
    n_words = len(tokenizer) - 5
    for step in range(6):
        with torch.no_grad():
            logits = network(torch.tensor([ids])).logits[0, -1].double().numpy()
        token = int(logits.argmax())
        if token >= n_words:
            return 1 - softmax(logits[n_words:])[3:].sum(), step
        if token == tokenizer.eos_token_id:
            return None, step
        ids.append(token)
    return None, 6


def test_causal_llm_writes_on_until_a_label_as_the_released_code_does(causal_folders):
    transformers = pytest.importorskip("transformers")
    folder, tokenizer_folder = causal_folders
    router = load_router("causal_llm", {"checkpoint_path": str(folder), "model_id": str(tokenizer_folder)})
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.add_tokens([f"[[{score}]]" for score in range(1, 6)], special_tokens=True)
    system, question = ((folder / name).read_text() for name in ("system_ft_v5.txt", "classifier_ft_v5.txt"))
    queries = [
        f"What is {word}{end}"
        for word in ["a river", "so", "it", "question {x}", "Rome", "7", "poem", "why"]
        for end in "?.! "
    ]
    reference = [causal_win_rate(network, tokenizer, system, question, query) for query in queries]
    expected = np.array([np.nan if rate is None else rate for rate, _ in reference])
    np.testing.assert_allclose(router.predict_win_rate(queries), expected, atol=1e-5)
    assert router.n_invalid_ == np.isnan(expected).sum()
    steps = {step for rate, step in reference if rate is not None}
    assert 0 in steps  # the test sees a label at once,
    assert max(steps) > 0  # later,
    assert np.isnan(expected).any()  # and never
    assert np.ptp(expected[~np.isnan(expected)]) > 0.05


def test_the_prompt_is_encoded_in_one_piece(causal_folders):
    folder, tokenizer_folder = causal_folders
    transformers = pytest.importorskip("transformers")
    router = load_router("causal_llm", {"checkpoint_path": str(folder), "model_id": str(tokenizer_folder)})
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    (ids,) = router._tokens().ids(["Is it so?"])
    joint = tokenizer.encode("?\n\n", add_special_tokens=False)
    assert len(joint) == 1  # a token that reaches over the query's end
    assert joint[0] in ids
    router.joined, router._text_tokens = False, None
    assert joint[0] not in router._tokens().ids(["Is it so?"])[0]


def test_a_causal_checkpoint_without_its_prompt_or_with_another_tokenizer_is_named(causal_folders, tmp_path):
    import shutil

    folder, tokenizer_folder = causal_folders
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    arguments = {"checkpoint_path": str(copy), "model_id": str(tokenizer_folder)}
    (copy / "classifier_ft_v5.txt").write_text("no slot")
    with pytest.raises(ArtifactError, match=r"classifier_ft_v5\.txt has no place for the \{question\}"):
        load_router("causal_llm", arguments)
    (copy / "classifier_ft_v5.txt").unlink()
    with pytest.raises(ArtifactError, match=r"classifier_ft_v5\.txt cannot be read"):
        load_router("causal_llm", arguments)
    with pytest.raises(InvalidValueError, match="holds no tokenizer.*model_id"):
        load_router("causal_llm", {"checkpoint_path": str(folder), "model_id": str(tmp_path / "none")})


def test_names_and_arguments_that_are_not_known_say_so(mf_folder):
    with pytest.raises(UnknownNameError, match="Did you mean 'mf'"):
        load_router("mff")
    with pytest.raises(InvalidValueError, match="missing 1 required positional argument: 'checkpoint_path'"):
        load_router("mf")
    with pytest.raises(InvalidValueError, match="unexpected keyword argument 'colour'"):
        load_router("mf", {"checkpoint_path": str(mf_folder), "colour": "red"})


def test_a_head_of_another_kind_is_told_apart_without_torch():
    with pytest.raises(InvalidValueError, match="five label tokens"):
        load_router("causal_llm", {"checkpoint_path": "x", "num_outputs": 3})
    with pytest.raises(InvalidValueError, match="num_labels must be 3"):
        load_router("bert", {"checkpoint_path": "x", "num_labels": 2})


def test_random_is_uniform_and_needs_nothing():
    rates = load_router("random").predict_win_rate([str(number) for number in range(1000)])
    assert abs(rates.mean() - 0.5) < 0.05


def test_the_routers_behind_the_layouts_are_registered():
    assert {"mf", "bert", "causal-llm"} <= set(registry.names("router"))
