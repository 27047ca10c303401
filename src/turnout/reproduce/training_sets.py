"""What routers are trained on: the paper's data sets as battles of one pair, clean of everything that is tested."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from turnout.data.battles import Battles
from turnout.data.contamination import DUPLICATE_COSINE, find_contaminated
from turnout.data.tiers import LIFTED_PAIR, Tiers, lift
from turnout.errors import DataError, EmptyDataError
from turnout.reproduce.paper import ARENA, ARENA_GOLD, ARENA_JUDGE
from turnout.reproduce.sources import D_ARENA, D_GOLD, D_JUDGE, MANY_MODELS, PAPERS_PAIR, Found, find, find_if_there
from turnout.types import JSON, Encoder

N_TIERS = 10


@dataclass(frozen=True, eq=False)
class TrainingSets:
    """The battles of each training set, and an account of how they came about."""

    lifted: Mapping[str, Battles]
    """`arena`, `arena + judge` and, where the paper's own golden labels are there, `arena + gold`: battles of
    `LIFTED_PAIR`."""
    by_name: Battles | None
    """Votes and judgements between models under their own names, for the paper's pair; None where it is not among
    them."""
    found: tuple[Found, ...]
    tiers: Tiers
    met: Mapping[str, Mapping[str, int]]
    """Data set → kind of match → distinct queries left out because a test asks them."""

    def account(self) -> list[dict[str, JSON]]:
        """A row a data set: what was read, what was left out."""
        return [one.to_json() | {"left_out_as_tested": dict(self.met[one.name])} for one in self.found]


def training_sets(
    folders: Sequence[Path], tested: Sequence[str], encoder: Encoder, *, asked_about: Set[str] = frozenset()
) -> TrainingSets:
    """The training sets, without the battles about a query that is tested anywhere.

    Args:
        folders: where data may be, the data folder last.
        tested: the queries of all tables.
        encoder: whose cosine tells similar queries, if a threshold is known for it; see `find_contaminated`.
        asked_about: models that will be asked about by name. Judgements of models that are not, and that no vote is
            about, are left out: they are many, and teach nothing about these.

    Raises:
        DataError: a data set is not there.
        EmptyDataError: nothing would be left of one.
    """
    met: dict[str, Mapping[str, int]] = {}
    clean: dict[str, Battles] = {}
    found = [find(D_ARENA, folders), find(D_JUDGE, folders)]
    # Golden labels are dealt out of the MMLU outcomes otherwise; only named pairs need models by name.
    found += [one for name in (D_GOLD, MANY_MODELS) if (one := find_if_there(name, folders)) is not None]
    for one in found:
        clean[one.name], met[one.name] = without_tested(one.battles, tested, encoder)
    votes = clean[D_ARENA]
    if len(votes.models) < N_TIERS:
        raise DataError(
            f"{found[0].candidate.title}: votes between {len(votes.models)} models cannot be cut into {N_TIERS} tiers."
        )
    tiers = Tiers.of(votes, N_TIERS)
    candidate = found[0].candidate
    arena = lift(votes, tiers.members(candidate.strong_tiers), tiers.members(candidate.weak_tiers))
    lifted = {ARENA: arena, ARENA_JUDGE: Battles.concat([arena, _of_papers_pair(clean[D_JUDGE], D_JUDGE)])}
    if D_GOLD in clean:
        lifted[ARENA_GOLD] = Battles.concat([arena, _of_papers_pair(clean[D_GOLD], D_GOLD)])
    wanted = {PAPERS_PAIR.strong, PAPERS_PAIR.weak, *asked_about, *votes.models}
    judged = [_between_any(clean[MANY_MODELS], wanted)] if MANY_MODELS in clean else []
    by_name = Battles.concat([votes, *judged]).with_pair(PAPERS_PAIR)
    known = set(by_name.models)
    return TrainingSets(
        lifted=lifted,
        by_name=by_name if {PAPERS_PAIR.strong, PAPERS_PAIR.weak} <= known else None,
        found=tuple(found),
        tiers=tiers,
        met=met,
    )


def _between_any(battles: Battles, models: Set[str]) -> Battles:
    rows = [a in models and b in models for a, b in zip(battles.model_a, battles.model_b, strict=True)]
    return battles.take(np.array(rows, dtype=bool))


def _of_papers_pair(battles: Battles, name: str) -> Battles:
    between = battles.between({PAPERS_PAIR.strong}, {PAPERS_PAIR.weak}, pair=LIFTED_PAIR)
    if not len(between):
        raise EmptyDataError(f"No battle of {name} is between {PAPERS_PAIR.strong} and {PAPERS_PAIR.weak}.")
    return between


def without_tested(battles: Battles, tested: Sequence[str], encoder: Encoder) -> tuple[Battles, Counter[str]]:
    """(battles whose query no test asks, how many distinct queries were left out by kind of match)."""
    texts = list(dict.fromkeys(battles.queries))
    judge = encoder if encoder.name in DUPLICATE_COSINE else None
    matches = find_contaminated(texts, tested, encoder=judge)
    dropped = {texts[match.row] for match in matches}
    kept = battles.take(np.array([query not in dropped for query in battles.queries], dtype=bool))
    return kept, Counter(match.kind for match in matches)


def battles_sha256(battles: Battles) -> str:
    """Of the queries, models, shares and weights: equal hashes mean equal training."""
    digest = hashlib.sha256(str(battles.pair).encode())
    for row in battles.rows():
        digest.update(orjson.dumps(row))
    return digest.hexdigest()
