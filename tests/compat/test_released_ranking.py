"""`sw_ranking` on files in RouteLLM's formats, against its procedure written out plainly: a regression a request."""

import asyncio
import csv
import itertools
import json

import numpy as np
import pytest
from hub_server import Blob, HubServer

from turnout.compat.routellm import GPT_4_AUGMENTED_CONFIG, Controller, load_router
from turnout.compat.routellm.checkpoints import is_released
from turnout.compat.routellm.released_ranking import ON_THE_HUB
from turnout.data.battles import Battles
from turnout.data.remote_catalogue import ARENA_55K, ARENA_EMBEDDINGS, JUDGE_BATTLES, JUDGE_EMBEDDINGS
from turnout.data.remote_sets import LOCK, Lock, LockedFile
from turnout.encoders.cache import CachedEncoder
from turnout.encoders.hashing import HashingEncoder
from turnout.encoders.openai import OpenAIEncoder
from turnout.errors import DataError, EncoderMismatchError, InvalidValueError, UnknownNameError
from turnout.routers.base import Router
from turnout.routers.similarity import SimilarityRanking
from turnout.types import ModelPair

STRONG, WEAK = "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"
MODELS = [STRONG, "gpt-4-0613", "claude-1", "yi-34b-chat", WEAK, "vicuna-13b", "koala-13b", "llama-13b"]
N_TIERS, N_INPUTS = 4, 12
ENCODER = HashingEncoder(dim=N_INPUTS)
QUERIES = ["prove the sum of two rivers", "a poem about the list", "x", "code with a bug in the list of proofs"]
WORDS = ("prove", "sum", "integral", "theorem", "story", "poem", "the", "river", "code", "bug", "list", "proof")


def rows(n, seed, models):
    """Battles in the columns of the data sets, a few of them shorter than 16 characters, some of several turns."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(n):
        a, b = random.choice(len(models), 2, replace=False)
        turn = "  " * (number % 3) + " ".join(random.choice(WORDS, random.integers(1, 9)))
        edge = (b - a) / 3 * (1.5 if "pro" in turn else 0.4)
        won = "tie" if random.random() < 0.2 else "a" if random.random() < 1 / (1 + np.exp(-edge)) else "b"
        made.append(
            {
                "id": str(number),
                "model_a": models[a],
                "model_b": models[b],
                "prompt": json.dumps([turn, "And then?"] if number % 5 == 0 else [turn]),
                "response_a": "[]",
                "response_b": "[]",
                "winner_model_a": int(won == "a"),
                "winner_model_b": int(won == "b"),
                "winner_tie": int(won == "tie"),
            }
        )
    return made


ARENA, JUDGED = rows(300, 0, MODELS), rows(80, 1, [STRONG, WEAK])


def first_turns(battles):
    return [turn for row in battles if len(turn := json.loads(row["prompt"])[0].strip()) >= 16]


def vectors(battles):
    """Of no length in particular: a cosine does not ask for it."""
    return ENCODER.encode(first_turns(battles)) * np.float32(1.7)


def parquet(path, columns):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)


@pytest.fixture
def data(tmp_path):
    """The arguments of the configuration, with files in the two forms: votes in CSV, judged battles in Parquet."""
    with (tmp_path / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ARENA[0]))
        writer.writeheader()
        writer.writerows(ARENA)
    parquet(tmp_path / "arena.parquet", {"embeddings": vectors(ARENA).tolist()})
    parquet(tmp_path / "judged.parquet", {key: [row[key] for row in JUDGED] for key in JUDGED[0]})
    (tmp_path / "vectors").mkdir()
    np.save(tmp_path / "vectors" / "judged.npy", vectors(JUDGED))
    return {
        "arena_battle_datasets": [str(tmp_path / "train.csv"), str(tmp_path / "judged.parquet")],
        "arena_embedding_datasets": [str(tmp_path / "arena.parquet"), str(tmp_path / "vectors")],
        "num_tiers": N_TIERS,
    }


def regression(design, won, weight):
    """The maximum of a weighted logistic likelihood without a penalty; the shortest step where many would do."""
    ratings = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ ratings))
        gradient = design.T @ (weight * (won - p))
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design
        ratings += np.linalg.lstsq(curvature, gradient, rcond=1e-12)[0]
    assert np.abs(gradient).max() < 1e-8 * weight.sum()
    return ratings


def elo(battles, place, weight=None):
    """Every battle twice, a tie won once by each; a column a model, in which model b's entry overwrites model a's."""
    design = np.zeros((2 * len(battles), 1 + max(place.values())))
    won = np.zeros(len(design))
    for number, row in enumerate([*battles, *battles]):
        design[number, place[row["model_a"]]] = np.log(10)
        design[number, place[row["model_b"]]] = -np.log(10)
        won[number] = row["winner_model_a"] or (row["winner_tie"] and number < len(battles))
    weight = np.ones(len(battles)) if weight is None else weight
    return 1000 + 400 * regression(design, won, np.tile(weight, 2))


def tiers(ratings):
    """The cut of the sorted ratings with the least sum of variances, tried one by one."""
    order = sorted(range(len(ratings)), key=lambda model: -ratings[model])
    cuts = [(0, *cut, len(order)) for cut in itertools.combinations(range(1, len(order)), N_TIERS - 1)]
    parts = [[order[start:end] for start, end in itertools.pairwise(cut)] for cut in cuts]
    return min(parts, key=lambda cut: sum(np.var([ratings[model] for model in part]) for part in cut))


def plain_win_rate(query):
    battles = [row for row in [*ARENA, *JUDGED] if len(json.loads(row["prompt"])[0].strip()) >= 16]
    known = np.concatenate([vectors(ARENA), vectors(JUDGED)]).astype(float)
    cut = tiers(elo(battles, {model: number for number, model in enumerate(MODELS)}))
    tier = {MODELS[model]: number for number, part in enumerate(cut) for model in part}
    asked = ENCODER.encode([query])[0].astype(float)
    similarity = known @ asked / (np.linalg.norm(known, axis=1) * np.linalg.norm(asked))
    score = elo(battles, tier, 10 * 10 ** (similarity / similarity.max()))
    return 1 - 1 / (1 + 10 ** ((score[tier[STRONG]] - score[tier[WEAK]]) / 400))


def test_its_win_rates_are_those_of_a_regression_over_all_battles_at_each_request(data):
    router = load_router("sw_ranking", data, encoder=ENCODER)
    expected = [plain_win_rate(query) for query in QUERIES]
    np.testing.assert_allclose(router.predict_win_rate(QUERIES), expected, atol=1e-6)
    assert np.ptp(expected) > 0.02
    assert isinstance(router, SimilarityRanking)
    assert is_released(router)
    assert (router.pair_.strong, router.pair_.weak) == (STRONG, WEAK)


def test_battles_within_a_tier_are_what_the_plain_router_leaves_out(data):
    """With as many tiers as models there are none, and then it is `sw` as it is trained here."""
    battles = [row for row in [*ARENA, *JUDGED] if len(json.loads(row["prompt"])[0].strip()) >= 16]
    ours = Battles.from_columns(
        first_turns([*ARENA, *JUDGED]),
        [row["model_a"] for row in battles],
        [row["model_b"] for row in battles],
        [row["winner_model_a"] + row["winner_tie"] / 2 for row in battles],
        pair=ModelPair(STRONG, WEAK),
    )
    for n_tiers, same in ((len(MODELS), True), (N_TIERS, False)):
        trained = SimilarityRanking(ENCODER, n_tiers=n_tiers).fit(ours).predict_win_rate(QUERIES)
        loaded = load_router("sw_ranking", {**data, "num_tiers": n_tiers}, encoder=ENCODER).predict_win_rate(QUERIES)
        assert np.allclose(trained, loaded, atol=1e-6) is same


async def test_queries_are_embedded_by_the_server_that_the_battles_were(data, provider):
    client = Controller(routers=["sw_ranking"], strong_model=STRONG, weak_model="other", config={"sw_ranking": data})
    rates = await asyncio.to_thread(client.batch_calculate_win_rate, QUERIES, "sw_ranking")
    np.testing.assert_allclose(rates, [plain_win_rate(query) for query in QUERIES], atol=1e-6)
    (request,) = provider.requests  # nothing but the queries: the battles came with their vectors
    assert request.body["model"] == "text-embedding-3-small"
    assert request.body["input"] == QUERIES
    model = await asyncio.to_thread(client.route, QUERIES[0], "sw_ranking", float(rates[0]))
    assert model == STRONG
    assert await asyncio.to_thread(client.route, QUERIES[0], "sw_ranking", float(rates[0]) + 1e-9) == "other"


def test_a_saved_one_scores_alike_and_is_still_told_apart(data, tmp_path, monkeypatch):
    router = load_router("sw_ranking", data, encoder=ENCODER)
    router.save(tmp_path / "saved")
    loaded = Router.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.predict_win_rate(QUERIES), router.predict_win_rate(QUERIES))
    assert is_released(loaded)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    encoder = load_router("sw_ranking", data).encoder
    assert isinstance(encoder, CachedEncoder)
    assert isinstance(encoder.inner, OpenAIEncoder)
    assert (encoder.inner.model, encoder.inner.dim) == ("text-embedding-3-small", N_INPUTS)


def test_without_a_configuration_the_sets_that_were_pulled_are_read(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "home"))
    for remote in ON_THE_HUB.values():
        remote.folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "train.csv").rename(ARENA_55K.folder / "train.csv")
    (tmp_path / "arena.parquet").rename(ARENA_EMBEDDINGS.folder / "train.parquet")
    (tmp_path / "judged.parquet").rename(JUDGE_BATTLES.folder / "train.parquet")
    for part, rows in enumerate(np.split(vectors(JUDGED), [20])):
        parquet(JUDGE_EMBEDDINGS.folder / f"train-{part}.parquet", {"embeddings": rows.tolist()})
    for remote in ON_THE_HUB.values():
        sizes = {path.name: path.stat().st_size for path in remote.folder.iterdir() if path.name != LOCK}
        Lock({name: LockedFile("0" * 64, size, "nobody") for name, size in sizes.items()}).write(remote.folder)
    assert is_released(Controller(routers=["sw_ranking"], strong_model="a", weak_model="b").routers["sw_ranking"])
    router = load_router("sw_ranking", {**GPT_4_AUGMENTED_CONFIG["sw_ranking"], "num_tiers": N_TIERS}, encoder=ENCODER)
    expected = [plain_win_rate(query) for query in QUERIES]
    np.testing.assert_allclose(router.predict_win_rate(QUERIES), expected, atol=1e-6)


def test_without_a_configuration_the_released_sets_are_pulled_and_terms_come_first(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TURNOUT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    place = "/datasets/lmarena-ai/arena-human-preference-55k/resolve/18c298340948c0e7f7727399fd459cca6ce0ca6f/train.csv"
    with HubServer({place: Blob((tmp_path / "train.csv").read_bytes())}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(InvalidValueError, match="turnout data pull gpt4-judge-battles --accept-licence"):
            Controller(routers=["sw_ranking"], strong_model="a", weak_model="b")
    assert (tmp_path / "home" / "data" / "arena-55k" / "train.csv").is_file()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"arena_embedding_datasets": ["arena.parquet"]}, DataError, r"hold \d+ battles of 16 characters or more, but"),
        ({"arena_battle_datasets": ["someone/votes"]}, InvalidValueError, "'someone/votes' is no file or folder here"),
        ({"arena_battle_datasets": ["vectors"]}, DataError, r"vectors: no file of \.csv, \.jsonl, \.parquet is in"),
        ({"arena_battle_datasets": "train.csv"}, InvalidValueError, "arena_battle_datasets must be a list"),
        ({"arena_embedding_datasets": []}, InvalidValueError, "arena_embedding_datasets must be a list"),
        ({"arena_embedding_datasets": ["judged.parquet"]}, DataError, "has no column 'embeddings'; there are: id,"),
        ({"arena_embedding_datasets": ["train.csv"]}, DataError, r"train\.csv: not a Parquet file"),
        ({"arena_embedding_datasets": ["other.npy", "vectors"]}, DataError, "Vectors of different lengths: 5, 12"),
        ({"arena_embedding_datasets": ["flat.npy"]}, DataError, r"flat\.npy: expected a matrix of finite numbers"),
        ({"arena_embedding_datasets": ["text.npy"]}, DataError, r"text\.npy: not a matrix in NumPy's format"),
        ({"arena_battle_datasets": ["bad.jsonl"]}, DataError, r"bad\.jsonl, line 1: the first turn must be text"),
        ({"strong_model": "gpt-5"}, UnknownNameError, "gpt-4-0613"),
        ({"num_tiers": 1}, InvalidValueError, "num_tiers must be at least 2, got 1"),
        ({"num_tiers": 2, "weak_model": "claude-1"}, DataError, "are in one of the 2 tiers"),
        ({"colour": "red"}, InvalidValueError, "unexpected keyword argument 'colour'"),
    ],
)
def test_what_cannot_be_used_says_why(data, tmp_path, monkeypatch, change, error, message):
    monkeypatch.chdir(tmp_path)
    np.save("other.npy", np.ones((3, 5)))
    np.save("flat.npy", np.ones(3))
    (tmp_path / "text.npy").write_text("no numbers")
    (tmp_path / "bad.jsonl").write_text(json.dumps({**ARENA[0], "prompt": "[null]"}) + "\n")
    with pytest.raises(error, match=message):
        load_router("sw_ranking", {**data, **change}, encoder=ENCODER)


def test_vectors_of_another_encoder_are_refused(data):
    with pytest.raises(EncoderMismatchError, match="12 dimensions.*hashing of 16"):
        load_router("sw_ranking", data, encoder=HashingEncoder(dim=16))
