"""For those who write routers: the contract that every router passes, and tiny data and fakes for tests.

>>> from turnout.encoders.hashing import HashingEncoder
>>> from turnout.routers.nearest_neighbors import NearestNeighbors
>>> check_router(NearestNeighbors(HashingEncoder(dim=32)))
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from turnout import registry
from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.errors import EmptyDataError, EncoderMismatchError, InvalidValueError, NotFittedError, UnknownNameError
from turnout.routers.base import KnowsModels, Router, settings_of
from turnout.types import Encoder, FloatArray, ModelPair, VectorArray

TINY_PAIR = ModelPair("big", "small")

ODD_QUERIES: Mapping[str, str] = {
    "an empty text": "",
    "white space": " \n\t ",
    "a text of 120,000 characters": "theorem " * 15_000,
    "a word of 100,000 letters": "x" * 100_000,
    "another script": "你好，世界 مرحبا بالعالم здравствуй",
    "joined emoji": "👩‍👩‍👧 🏳️‍🌈",
    "a zero byte": "a\x00b",
    "a lone surrogate": "\ud83d is half of a pair \udc00",
    "numbers": "12345678901234567890 3.14 1e999",
    "markup": "<s>[INST] {query} %s </s> [[1]]",
}
"""What → a query that a user's traffic may hold, and that no router may fail on."""

_ELSEWHERE = """
import json, sys
from turnout.routers.base import Router
folder, queries = json.load(sys.stdin)
print(json.dumps([float(rate).hex() for rate in Router.load(folder).predict_win_rate(queries)]))
"""
_FIRST_WORDS = (("prove", 1.0), ("rhyme", 0.0), ("explain", 0.5))
_OTHER_WORDS = ("theorem", "poem", "sum", "river", "prime", "moon", "matrix", "song", "limit", "rose")


def check_router(
    router: Router | Callable[[], Router],
    *,
    battles: Battles | None = None,
    tolerance: float = 0.0,
    other_process: bool = True,
) -> None:
    """Check that a router keeps every law that evaluation, calibration and the gateway rely on.

    Args:
        router: an unfitted router, or a function that makes one. It is fitted a few times: give it small settings.
        battles: what to fit on; by default `tiny_battles()`.
        tolerance: by how much a win rate may depend on what else is in the batch. 0 is right for all but networks
            whose matrix products are rounded differently.
        other_process: also load the saved router in a new Python process.

    Raises:
        AssertionError: a law is broken; says which, and how.
    """
    make = _maker(router)
    who = type(make()).__name__
    with _law(who, "__init__ stores its arguments untouched and does nothing else"):
        _check_settings(make)
    with _law(who, "an unfitted router raises NotFittedError"):
        _check_unfitted(make())
    with _law(who, "fit refuses data that it cannot learn from"):
        _check_refusal(make(), tiny_battles().take([]), EmptyDataError)
        _check_refusal(make(), replace(tiny_battles(), pair=None), InvalidValueError)
    known = tiny_battles() if battles is None else battles
    fitted = make()
    with _law(who, "fit learns from battles, returns self and changes nothing that was given to it"):
        _check_fit(fitted, known)
    check_fitted_router(fitted, queries=known.queries, tolerance=tolerance, other_process=other_process)
    queries = _asked(known.queries)
    with _law(who, "the same seed gives the same result"):
        first = _win_rates(fitted, queries)
        _require_equal(_win_rates(make().fit(known), queries), first, "a second router, fitted alike, differs")
        _require_equal(_win_rates(fitted.fit(known), queries), first, "the router, fitted once more, differs")
    with _law(who, "odd training data does not crash it"):
        odd = Battles.from_columns(
            list(ODD_QUERIES.values()), fitted.pair_.strong, fitted.pair_.weak, [0.5] * len(ODD_QUERIES)
        )
        _win_rates(make().fit(Battles.concat([known, odd]).with_pair(fitted.pair_)), queries)
        _win_rates(make().fit(odd.with_pair(fitted.pair_)), queries)
    if isinstance(fitted, KnowsModels):
        with _law(who, "a router that knows models scores any pair of them"):
            _check_pairs(make())


def check_fitted_router(
    router: Router, *, queries: Sequence[str] = (), tolerance: float = 0.0, other_process: bool = True
) -> None:
    """Check the laws of a fitted router only: for one that is not made by its own `fit`.

    Args:
        router: must be fitted.
        queries: some that it can be asked, beside odd ones.
        tolerance: see `check_router`.
        other_process: see `check_router`.

    Raises:
        AssertionError: a law is broken; says which, and how.
    """
    who, asked = type(router).__name__, _asked(queries)
    with _law(who, "odd queries do not crash it"):
        for what, query in ODD_QUERIES.items():
            try:
                _win_rates(router, [query])
            except Exception as error:
                raise _Broken(f"{what} raised {type(error).__name__}: {error}") from error
    with _law(
        who, "one text is refused, not taken for as many queries as it has letters (turnout.types.check_queries)"
    ):
        _raises(InvalidValueError, lambda: router.predict_win_rate("one text"))
    with _law(who, "win rates are numbers in [0, 1], one for each query, in 64-bit floats"):
        _check_win_rates(router, asked)
    with _law(who, "a batch equals singles"):
        batch = _win_rates(router, asked)
        singles = np.concatenate([_win_rates(router, [query]) for query in asked])
        _require_equal(singles, batch, "asked one by one, win rates differ", tolerance)
        _require_equal(_win_rates(router, asked[::-1])[::-1], batch, "in another order, win rates differ", tolerance)
    with tempfile.TemporaryDirectory() as folder:
        with _law(who, "save and load keep the scores to the bit"):
            _check_saved(router, asked, Path(folder) / "router", other_process=other_process)
        if hasattr(router, "encoder"):
            with _law(who, "loading with another encoder raises EncoderMismatchError"):
                _raises(
                    EncoderMismatchError,
                    lambda: Router.load(Path(folder) / "router", encoder=_AnotherEncoder(router.encoder)),
                )


def tiny_battles(n: int = 60, *, models: Sequence[str] = ("big", "small"), seed: int = 0) -> Battles:
    """Battles that can be learned: earlier models win 'prove …', later ones 'rhyme …', and 'explain …' is a tie.

    Every tenth label is graded instead, and every seventh battle weighs twice. The pair is the first and the last
    model; further models meet each other, too.

    >>> tiny_battles(3).pair
    ModelPair(strong='big', weak='small')
    """
    random = np.random.default_rng(seed)
    meetings = [(a, b) for place, a in enumerate(models) for b in models[place + 1 :]]
    rows = np.arange(n)
    kinds = [_FIRST_WORDS[kind] for kind in random.integers(0, len(_FIRST_WORDS), n)]
    share = np.array([share for _, share in kinds])
    return Battles.from_columns(
        [f"{word} {' '.join(random.choice(_OTHER_WORDS, 3))}" for word, _ in kinds],
        [meetings[row % len(meetings)][0] for row in rows],
        [meetings[row % len(meetings)][1] for row in rows],
        np.where(rows % 10 == 9, 0.8 * share + 0.1, share),
        weight=np.where(rows % 7 == 6, 2.0, 1.0),
        source="tiny",
        pair=ModelPair(models[0], models[-1]),
    )


def tiny_outcomes(n: int = 60, *, pair: ModelPair = TINY_PAIR, seed: int = 0) -> Outcomes:
    """Right-or-wrong outcomes with something to win: strong is right on all, weak is wrong on 'prove …'."""
    queries = tiny_battles(n, seed=seed).queries
    weak = [0.0 if query.startswith("prove") else 1.0 for query in queries]
    return Outcomes.from_columns(queries, {pair.strong: [1.0] * n, pair.weak: weak}, source="tiny")


class FakeEncoder:
    """Vectors that a test decides: text → numbers, scaled to length 1; any other text gets zeros.

    >>> FakeEncoder({"east": [2, 0], "north": [0, 1]}).encode(["east", "elsewhere"]).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """

    name = "fake"

    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self.vectors = vectors
        self.dim = len(next(iter(vectors.values())))

    @property
    def identity(self) -> str:
        """The vectors themselves."""
        return f"fake:{json.dumps(dict(self.vectors))}"

    def encode(self, texts: Sequence[str]) -> VectorArray:
        """Shape (n_texts, dim), float32."""
        rows = np.array([self.vectors.get(text, [0.0] * self.dim) for text in texts], dtype=np.float32)
        lengths = np.linalg.norm(rows.reshape(len(texts), self.dim), axis=1, keepdims=True)
        return np.divide(rows.reshape(len(texts), self.dim), np.where(lengths > 0, lengths, 1), dtype=np.float32)


class _Broken(Exception):
    """How a law is broken."""


class _AnotherEncoder:
    """The same vectors under another identity."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.name = encoder.name
        self.dim = encoder.dim
        self.identity = f"another than {encoder.identity}"

    def encode(self, texts: Sequence[str]) -> VectorArray:
        return self.encoder.encode(texts)


@contextmanager
def _law(who: str, law: str) -> Iterator[None]:
    """What goes wrong inside is a breach of this law."""
    try:
        yield
    except _Broken as broken:
        raise AssertionError(f"{who} breaks the law that {law}: {broken}.") from broken.__cause__
    except Exception as error:
        raise AssertionError(f"{who} breaks the law that {law}: {type(error).__name__}: {error}") from error


def _maker(router: Router | Callable[[], Router]) -> Callable[[], Router]:
    if not isinstance(router, Router):
        return router
    return functools.partial(type(router), **settings_of(router))


def _broken(how: str) -> NoReturn:
    raise _Broken(how)


def _require(condition: bool, how: str) -> None:
    if not condition:
        _broken(how)


def _require_equal(found: FloatArray, expected: FloatArray, how: str, tolerance: float = 0.0) -> None:
    difference = np.abs(found - expected)
    _require(bool((difference <= tolerance).all()), f"{how} by up to {difference.max():.3g}")


def _raises(expected: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except expected:
        return
    except Exception as error:
        raise _Broken(f"expected {expected.__name__}, got {type(error).__name__}: {error}") from error
    _broken(f"expected {expected.__name__}, but nothing was raised")


def _asked(queries: Sequence[str]) -> list[str]:
    return [*list(queries)[:20], *ODD_QUERIES.values(), "rhyme", "prove", "rhyme"]


def _win_rates(router: Router, queries: Sequence[str]) -> FloatArray:
    win_rates = router.predict_win_rate(queries)
    _require(isinstance(win_rates, np.ndarray), f"expected a numpy array, got {type(win_rates).__name__}")
    _require(win_rates.shape == (len(queries),), f"{len(queries)} queries got an array of shape {win_rates.shape}")
    bad = win_rates[~((win_rates >= 0) & (win_rates <= 1))]  # NaN too
    _require(not len(bad), f"a win rate is {bad[0] if len(bad) else None}")
    return win_rates


def _check_settings(make: Callable[[], Router]) -> None:
    router = make()
    _require(isinstance(router, Router), f"expected a Router, got {type(router).__name__}")
    parameters = inspect.signature(type(router)).parameters.values()
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            _broken(f"'{parameter}' cannot be saved: name every setting")
    given = {parameter.name: object() for parameter in parameters}
    stored = vars(type(router)(**given))
    for name, value in given.items():
        _require(stored.get(name) is value, f"self.{name} is not what was given as {name}")
    learned = [name for name in {**stored, **vars(router)} if name.endswith("_")]
    _require(not learned, f"it sets {', '.join(learned)}, but attributes that end in _ are what fit learns")


def _check_unfitted(router: Router) -> None:
    _raises(NotFittedError, lambda: router.predict_win_rate(["a query"]))
    with tempfile.TemporaryDirectory() as folder:
        _raises(NotFittedError, lambda: router.save(Path(folder) / "router"))


def _check_refusal(router: Router, battles: Battles, expected: type[Exception]) -> None:
    _raises(expected, lambda: router.fit(battles))
    _raises(NotFittedError, lambda: router.predict_win_rate(["a query"]))


def _check_fit(router: Router, battles: Battles) -> None:
    before, settings = copy.deepcopy(battles), settings_of(router)
    _require(router.fit(battles) is router, "fit did not return the router itself")
    _require(router.pair_ == battles.pair, f"pair_ is {router.pair_}, but the battles' pair is {battles.pair}")
    _require_unchanged(battles, before)
    for name, value in settings_of(router).items():
        _require(value is settings[name], f"the setting {name} was {settings[name]!r} and is {value!r} after fit")


def _require_unchanged(battles: Battles, before: Battles) -> None:
    for column, was in vars(before).items():
        same = np.array_equal(getattr(battles, column), was) if isinstance(was, np.ndarray) else None
        _require(getattr(battles, column) == was if same is None else same, f"fit changed the battles' {column}")


def _check_win_rates(router: Router, asked: list[str]) -> None:
    queries = list(asked)
    win_rates = _win_rates(router, queries)
    _require(queries == asked, "predict_win_rate changed the list of queries")
    _require(win_rates.dtype == np.float64, f"they are {win_rates.dtype}")
    _require_equal(_win_rates(router, tuple(asked)), win_rates, "a tuple of queries differs from a list")
    _win_rates(router, [])


def _check_saved(router: Router, asked: list[str], folder: Path, *, other_process: bool) -> None:
    expected = _win_rates(router, asked)
    router.save(folder)
    _require_equal(_win_rates(router, asked), expected, "saving changed the win rates")
    _require(registry.load("router", router.name) is type(router), f"'{router.name}' is the name of another router")
    encoder: Encoder | None = getattr(router, "encoder", None)
    can_be_built = encoder is None or encoder.name in registry.names("encoder")
    loaded = Router.load(folder, encoder=None if can_be_built else encoder)
    _require(type(loaded) is type(router), f"what was loaded is a {type(loaded).__name__}")
    _require(loaded.pair_ == router.pair_, f"the pair was {router.pair_} and is {loaded.pair_}")
    for name, value in settings_of(router).items():
        if name != "encoder":
            kept, given = (json.dumps(one, sort_keys=True) for one in (getattr(loaded, name), value))
            _require(kept == given, f"the setting {name} was {given} and is {kept}")
    _require_equal(_win_rates(loaded, asked), expected, "after loading, win rates differ")
    if other_process and can_be_built:
        _require_equal(_win_rates_elsewhere(folder, asked), expected, "in another process, win rates differ")


def _win_rates_elsewhere(folder: Path, queries: list[str]) -> FloatArray:
    """By a new Python process, whose hash() differs, for one."""
    run = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE],
        input=json.dumps([str(folder), queries]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "4242"},
        capture_output=True,
        text=True,
        check=False,
    )
    _require(run.returncode == 0, f"another process cannot load it: {run.stderr[-2_000:]}")
    return np.array([float.fromhex(rate) for rate in json.loads(run.stdout)])


def _check_pairs(router: Router) -> None:
    battles = tiny_battles(90, models=("big", "middle", "small"))
    router.fit(battles)
    if not isinstance(router, KnowsModels):
        _broken("fitted on battles of three models, it has no models_")
    queries = battles.queries[:20]
    _require(
        set(router.models_) == set(battles.models), f"models_ is {router.models_} after battles of {battles.models}"
    )
    own = router.predict_win_rate(queries)
    _require_equal(
        router.predict_win_rate(queries, pair=router.pair_), own, "the training pair, asked for by name, differs"
    )
    for pair in (ModelPair("big", "middle"), ModelPair("middle", "small")):
        straight = router.predict_win_rate(queries, pair=pair)
        turned = router.predict_win_rate(queries, pair=ModelPair(pair.weak, pair.strong))
        _require_equal(
            turned, 1 - straight, f"the win rates of {pair} and of its reverse do not add up to 1: off", 1e-6
        )
    _raises(UnknownNameError, lambda: router.predict_win_rate(queries, pair=ModelPair("big", "nobody")))
