"""RouteLLM's similarity-weighted ranking as Turnout's `sw`: its battles, and its own vectors of their queries.

RouteLLM keeps no checkpoint of it. It reads battles and vectors at each start, and fits ratings anew at each request,
each battle weighted by γ^(1 + S), γ = 10, in the form `released-code`. Wins that are summed once give the same ratings.

One thing of it is not the paper's. In its regression a battle within a tier is a row with a single entry, which makes
it a battle of the tier against a rating of zero, won by the tier where model b won. That pulls the win rates together,
and thresholds were set on those, so it is kept: the ratings have a first member without models, which is that zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from turnout.data.battles import Battles
from turnout.data.importers.arena import turns_of, vote_of
from turnout.data.importers.source import Reading, Row, Source, text_of
from turnout.data.parquet import read_vectors
from turnout.data.remote_catalogue import ARENA_55K, ARENA_EMBEDDINGS, JUDGE_BATTLES, JUDGE_EMBEDDINGS
from turnout.data.remote_sets import RemoteSet
from turnout.data.tiers import cut_into_tiers
from turnout.encoders.base import unit_rows
from turnout.errors import DataError, EncoderMismatchError, InvalidValueError
from turnout.ranking import rate
from turnout.routers.base import check_known
from turnout.routers.similarity import SimilarityRanking, wins_by_query
from turnout.types import JSON, Encoder, IntArray, ModelPair, VectorArray

ON_THE_HUB: Mapping[str, RemoteSet] = {
    "lmsys/lmsys-arena-human-preference-55k": ARENA_55K,
    "lmarena-ai/arena-human-preference-55k": ARENA_55K,
    "routellm/gpt4_judge_battles": JUDGE_BATTLES,
    "routellm/arena_battles_embeddings": ARENA_EMBEDDINGS,
    "routellm/gpt4_judge_battles_embeddings": JUDGE_EMBEDDINGS,
}
"""The data sets that RouteLLM's configuration names, as `turnout data pull` knows them."""

_LEAST_CHARACTERS = 16
_BATTLE_FILES, _VECTOR_FILES = (".csv", ".jsonl", ".parquet"), (".npy", ".parquet")


def load_ranking(
    battle_sets: Sequence[str],
    vector_sets: Sequence[str],
    pair: ModelPair,
    *,
    n_tiers: int,
    encoder_of: Callable[[int], Encoder],
) -> SimilarityRanking:
    """The router that these battles and vectors make, fitted.

    Args:
        battle_sets: names of `ON_THE_HUB`, files or folders of files: CSV, JSON Lines or Parquet with model_a, model_b,
            prompt (a JSON list of turns, of which the first counts) and winner_model_a, winner_model_b, winner_tie.
        vector_sets: the same for vectors, in the battles' order: the Parquet column `embeddings`, or a matrix in NPY.
            Battles whose first turn has fewer than 16 characters have none.
        pair: the models whose tiers are compared.
        n_tiers: into how many tiers the models are cut.
        encoder_of: the encoder of new queries, given the length of the vectors.

    Raises:
        DataError: a file cannot be used, there are not as many vectors as battles, or the pair is in one tier.
        EncoderMismatchError: the encoder's vectors have another length.
        InvalidValueError: a name is none of the hub's, or its terms are not accepted yet.
        UnknownNameError: a model of the pair is in no battle.
    """
    battles, vectors = _battles(battle_sets), _vectors(vector_sets)
    if len(battles) != len(vectors):
        raise DataError(
            f"{', '.join(battle_sets)} hold {len(battles):,} battles of {_LEAST_CHARACTERS} characters or more, but "
            f"{', '.join(vector_sets)} hold {len(vectors):,} vectors: each battle needs its own, in the same order."
        )
    encoder = encoder_of(vectors.shape[1])
    if encoder.dim != vectors.shape[1]:
        raise EncoderMismatchError(f"one of {vectors.shape[1]} dimensions", f"{encoder.name} of {encoder.dim}")
    router = SimilarityRanking(encoder, similarity="released-code", gamma=10.0, n_tiers=n_tiers)
    router.pair_, router.models_ = pair, list(battles.models)
    router.tiers_, tier_a, tier_b = _tiers(battles, pair, n_tiers)
    router.wins_query_, router.wins_cell_, router.wins_ = wins_by_query(
        np.arange(len(battles)), tier_a, tier_b, battles, len(router.tiers_)
    )
    router.vectors_ = vectors
    return router


def _tiers(battles: Battles, pair: ModelPair, n_tiers: int) -> tuple[list[list[str]], IntArray, IntArray]:
    """(tiers, a, b): the models of each tier, and the tiers that each battle is between; the first is the zero."""
    models, a, b = battles.model_indices()
    check_known(pair, models, "model in these battles")
    if n_tiers < 2:
        raise InvalidValueError(f"num_tiers must be at least 2, got {n_tiers}.")
    cut = cut_into_tiers(rate(models, a, b, battles.share_a, battles.weight), min(n_tiers, len(models)))
    tier_of = np.empty(len(models), dtype=np.int64)
    for number, members in enumerate(cut, start=1):
        tier_of[members] = number
    if tier_of[models.index(pair.strong)] == tier_of[models.index(pair.weak)]:
        raise DataError(
            f"'{pair.strong}' and '{pair.weak}' are in one of the {len(cut)} tiers, so that every query's win rate "
            "would be 0.5. Use more tiers: num_tiers."
        )
    tiers = [[models[index] for index in members] for members in cut]
    a, b = tier_of[a], tier_of[b]
    within = a == b
    if not within.any():
        return tiers, a - 1, b - 1
    return [[], *tiers], np.where(within, 0, a), b


class _FirstTurns(Source):
    """Battles in the columns of RouteLLM's data sets, of which it reads the first turn alone."""

    name = "routellm-battles"
    kind = "battles"
    expects = "battles as RouteLLM's sw_ranking reads them: model_a, model_b, prompt, winner_model_a, …"

    def convert(self, row: Row) -> dict[str, JSON]:
        turns = turns_of(text_of(row, "prompt"))
        if not turns or not isinstance(turns[0], str):
            raise ValueError(f"the first turn must be text, got {turns[:1]!r}.")
        return {
            "query": turns[0].strip(),
            "model_a": text_of(row, "model_a"),
            "model_b": text_of(row, "model_b"),
            "share_a": vote_of(row),
        }


def _battles(places: Sequence[str]) -> Battles:
    paths = [path for place in places for path in _files(place, _BATTLE_FILES)]
    return Battles.concat([Battles.from_rows(_reading(path).records(), path=path) for path in paths])


def _reading(path: Path) -> Reading:
    return Reading(_FirstTurns(), path, min_characters=_LEAST_CHARACTERS)


def _vectors(places: Sequence[str]) -> VectorArray:
    """All vectors, of length 1, shape (n_battles, dim)."""
    parts = [unit_rows(_read_vectors(path)) for place in places for path in _files(place, _VECTOR_FILES)]
    if len({part.shape[1] for part in parts}) > 1:
        raise DataError(f"Vectors of different lengths: {', '.join(str(part.shape[1]) for part in parts)}.")
    return np.concatenate(parts)


def _read_vectors(path: Path) -> VectorArray:
    if path.suffix != ".npy":
        return read_vectors(path, "embeddings")
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"not a matrix in NumPy's format: {error}.", path=path) from error
    if values.ndim != 2 or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise DataError(f"expected a matrix of finite numbers, a row for each battle, got {values.shape}.", path=path)
    return np.asarray(values, dtype=np.float32)


def _files(place: str, suffixes: Sequence[str]) -> list[Path]:
    """The files of a data set, in order; on the hub's names it is pulled if it is not here."""
    path = Path(place)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in suffixes)
        if not found:
            raise DataError(f"no file of {', '.join(suffixes)} is in this folder.", path=path)
        return found
    if place not in ON_THE_HUB:
        raise InvalidValueError(
            f"'{place}' is no file or folder here, and none of the data sets that can be pulled: "
            f"{', '.join(ON_THE_HUB)}."
        )
    remote = ON_THE_HUB[place]
    folder = remote.folder if remote.is_pulled else remote.pull()
    return [folder / file.local_name for part in remote.repositories for file in part.files]
