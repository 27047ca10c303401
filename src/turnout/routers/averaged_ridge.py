"""Ridge regression on blocks of features, averaged over settings by how well each predicts queries left out.

How much each block should count, and how far to shrink, cannot be read off a few hundred noisy labels: whatever is
chosen is chosen partly by luck. So nothing is chosen. Every setting is fitted, and the fits are averaged, each with a
weight that falls with its error on what was left out: single queries, or whole sources where there are several.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from turnout.routers.text_features import N_BUCKETS, form_of, words_of
from turnout.types import Encoder, FloatArray, IntArray

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""The variance that a query's features may explain, in units of the noise of one label."""
MIXES = (
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (0.5, 0.5, 0.0),
    (0.5, 0.0, 0.5),
    (0.0, 0.5, 0.5),
    (1 / 3, 1 / 3, 1 / 3),
)
"""How that variance is shared among meaning, form and words."""
PRIOR_SHARES = (0.0, 0.5, 1.0, 2.0)
"""How much of an earlier router is kept, where there is one, before anything is learned."""

_EXACT = 1_500  # rows for which n × n matrices are cheap: a few seconds for all settings
_STEPS, _SOLVED = 200, 1e-12  # of conjugate gradients; the squared residual, relative to the start
_LEAST = 0.01  # a setting with a smaller share of the average is left out where solving is costly
_TEMPER = 0.5  # all settings err on the same queries, so that their difference counts for less than it seems


@dataclass(frozen=True, eq=False)
class Features:
    """What is known of n queries: three blocks, each row a vector of length about 1."""

    meaning: FloatArray
    """Shape (n, dim): the encoder's vectors."""
    form: FloatArray
    """Shape (n, N_FORM)."""
    starts: IntArray
    """Shape (n + 1,): the words of query i are at starts[i] to starts[i + 1]."""
    buckets: IntArray
    values: FloatArray

    @classmethod
    def of(cls, queries: Sequence[str], encoder: Encoder) -> Features:
        """The features of n queries."""
        words = [words_of(query) for query in queries]
        empty = np.empty(0)
        return cls(
            meaning=encoder.encode(queries).astype(np.float64),
            form=np.array([form_of(query) for query in queries]),
            starts=np.cumsum([0, *(len(buckets) for buckets, _ in words)]),
            buckets=np.concatenate([empty.astype(np.int64), *(buckets for buckets, _ in words)]),
            values=np.concatenate([empty, *(values for _, values in words)]),
        )

    def __len__(self) -> int:
        return len(self.meaning)

    def take(self, rows: IntArray) -> Features:
        """The features of these queries."""
        spans = [np.arange(self.starts[row], self.starts[row + 1]) for row in rows]
        chosen = np.concatenate([np.empty(0, dtype=np.int64), *spans])
        starts = np.cumsum([0, *map(len, spans)])
        return Features(self.meaning[rows], self.form[rows], starts, self.buckets[chosen], self.values[chosen])

    def times(self, weights: Linear) -> FloatArray:
        """The estimate of each query, shape (n,)."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.starts))
        words = np.bincount(rows, weights=self.values * weights.words[self.buckets], minlength=len(self))
        total: FloatArray = weights.intercept + self.meaning @ weights.meaning + self.form @ weights.form + words
        return total

    def summed(self, amounts: FloatArray) -> Linear:
        """The sum of the queries' features, each taken so many times; amounts has shape (n,)."""
        spread = np.repeat(amounts, np.diff(self.starts))
        words = np.bincount(self.buckets, weights=self.values * spread, minlength=N_BUCKETS)
        return Linear(0.0, amounts @ self.meaning, amounts @ self.form, words.astype(np.float64))

    def products(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Each block's matrix of inner products between queries, shape (n, n)."""
        used, columns = np.unique(self.buckets, return_inverse=True)
        words = np.zeros((len(self), len(used)), dtype=np.float32)
        words[np.repeat(np.arange(len(self)), np.diff(self.starts)), columns] = self.values
        return self.meaning @ self.meaning.T, self.form @ self.form.T, (words @ words.T).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear function of a query's features."""

    intercept: float
    meaning: FloatArray
    """Shape (dim,)."""
    form: FloatArray
    """Shape (N_FORM,)."""
    words: FloatArray
    """Shape (N_BUCKETS,)."""

    @classmethod
    def zero(cls, dim: int, n_form: int) -> Linear:
        """Nothing known."""
        return cls(0.0, np.zeros(dim), np.zeros(n_form), np.zeros(N_BUCKETS))

    def plus(self, other: Linear, times: float = 1.0) -> Linear:
        """The sum of this function and some times another."""
        return Linear(
            self.intercept + times * other.intercept,
            self.meaning + times * other.meaning,
            self.form + times * other.form,
            self.words + times * other.words,
        )

    def dot(self, other: Linear) -> float:
        """The inner product of the weights, without the intercepts."""
        return float(self.meaning @ other.meaning + self.form @ other.form + self.words @ other.words)


@dataclass(frozen=True)
class Setting:
    """One way to weigh the blocks and to shrink."""

    variances: tuple[float, float, float]
    """Of the weights of meaning, form and words, in units of the noise."""
    prior_share: float


@dataclass(frozen=True, eq=False)
class AveragedRidge:
    """The average fit."""

    weights: Linear
    variances: tuple[float, float, float]
    """Averaged over settings, in units of the noise."""
    noise: float
    """The variance of one label around the estimate, averaged over settings."""
    prior_share: float
    """How much of the prior is kept, averaged over settings."""


def fit_averaged_ridge(
    features: Features,
    targets: FloatArray,
    counts: FloatArray,
    *,
    groups: IntArray | None = None,
    prior: Linear | None = None,
    seed: int = 0,
) -> AveragedRidge:
    """Ridge regressions of the targets on the features, averaged over settings.

    Args:
        features: of n distinct queries.
        targets: shape (n,).
        counts: shape (n,), above 0: a target with count c has 1/c of the noise.
        groups: shape (n,): which queries are left out together when settings are compared; None: each alone.
        prior: an earlier estimate; settings differ in how much of it they keep, and learn what is left.
        seed: which 1,500 queries the settings are compared on, where there are more.
    """
    settings = [
        Setting((strength * mix[0], strength * mix[1], strength * mix[2]), share)
        for strength, mix, share in itertools.product(
            STRENGTHS, MIXES, PRIOR_SHARES if prior is not None else PRIOR_SHARES[:1]
        )
    ]
    earlier = np.zeros(len(features)) if prior is None else features.times(prior)
    compared = np.arange(len(features))
    if len(features) > _EXACT:
        compared = np.sort(np.random.default_rng(seed).permutation(len(features))[:_EXACT])
    left_out = np.arange(len(features)) if groups is None else groups
    fits = _exact_fits(
        features.take(compared), targets[compared], counts[compared], left_out[compared], earlier[compared], settings
    )
    shares = _shares(settings, fits, counts[compared])
    all_compared = len(compared) == len(features)
    if not all_compared:
        shares = np.where(shares < _LEAST, 0.0, shares)
        shares /= shares.sum()
    centre = features.summed(counts / counts.sum())
    average = Linear.zero(features.meaning.shape[1], features.form.shape[1])
    for setting, fit, share in zip(settings, fits, shares.tolist(), strict=True):
        if share == 0.0:
            continue
        amounts, mean = fit.amounts, fit.mean
        if not all_compared:
            amounts, mean = _iterative_fit(features, targets - setting.prior_share * earlier, counts, centre, setting)
        average = average.plus(_weights(features, amounts, mean, centre, setting), share)
        if prior is not None:
            average = average.plus(prior, share * setting.prior_share)
    variances = shares @ np.array([setting.variances for setting in settings])
    return AveragedRidge(
        weights=average,
        variances=(float(variances[0]), float(variances[1]), float(variances[2])),
        noise=float(shares @ np.array([fit.noise for fit in fits])),
        prior_share=float(shares @ np.array([setting.prior_share for setting in settings])),
    )


@dataclass(frozen=True, eq=False)
class _Fit:
    amounts: FloatArray
    """Shape (n,): how much of each query's centred features the weights are made of."""
    mean: float
    noise: float
    score: float
    """The log density of left-out targets, summed."""
    errors: FloatArray
    """Shape (n,): by how much each left-out target exceeds its estimate."""


def _exact_fits(
    features: Features,
    targets: FloatArray,
    counts: FloatArray,
    groups: IntArray,
    earlier: FloatArray,
    settings: Sequence[Setting],
) -> list[_Fit]:
    """Each setting's fit, and how well it predicts each group of queries from all others (in closed form)."""
    share = counts / counts.sum()
    alone = len(np.unique(groups)) == len(groups)
    members = [] if alone else [np.flatnonzero(groups == group) for group in np.unique(groups)]
    products = [_centred(product, share) for product in features.products()]
    solved: dict[tuple[float, float, float], FloatArray] = {}
    fits = []
    for setting in settings:
        if setting.variances not in solved:
            signal = [variance * product for variance, product in zip(setting.variances, products, strict=True)]
            solved[setting.variances] = np.asarray(np.linalg.inv(np.diag(1.0 / counts) + sum(signal)), dtype=np.float64)
        inverse = solved[setting.variances]
        wanted = targets - setting.prior_share * earlier
        rows = inverse.sum(axis=1)
        mean = float(rows @ wanted / rows.sum())
        amounts = inverse @ (wanted - mean)
        noise = max(float((wanted - mean) @ amounts) / len(wanted), 1e-9)
        if alone:
            variance = 1.0 / np.diag(inverse)
            error = amounts * variance
        else:
            variance, error = np.empty(len(wanted)), np.empty(len(wanted))
            for rows_of in members:
                covariance = np.linalg.inv(inverse[np.ix_(rows_of, rows_of)])
                variance[rows_of] = np.diag(covariance)
                error[rows_of] = covariance @ amounts[rows_of]
        log_densities = -0.5 * np.log(variance * noise) - 0.5 * error**2 / (variance * noise)
        fits.append(_Fit(amounts, mean, noise, float(share @ log_densities) * len(wanted), error))
    return fits


def _centred(product: FloatArray, share: FloatArray) -> FloatArray:
    """Inner products of what is left when the weighted mean of the rows is subtracted."""
    rows = product @ share
    centred: FloatArray = product - rows[:, None] - rows[None, :] + share @ rows
    return centred


def _shares(settings: Sequence[Setting], fits: Sequence[_Fit], counts: FloatArray) -> FloatArray:
    """Each setting's share of the average, shape (n_settings,).

    Settings that keep some of a prior get a share only if together they predict left-out targets better than the
    others do, beyond one standard error; beyond two they get all. A prior that is of no use then does no harm.
    """
    scores = np.array([fit.score for fit in fits])
    keeps = np.array([setting.prior_share > 0 for setting in settings])
    without = _softmax(np.where(keeps, -np.inf, scores))
    if not keeps.any():
        return without
    within = _softmax(np.where(keeps, scores, -np.inf))
    errors = np.array([fit.errors for fit in fits])
    better = (without @ errors) ** 2 - (within @ errors) ** 2
    weight = counts / counts.sum()
    mean = float(weight @ better)
    deviation = float(np.sqrt(weight**2 @ (better - mean) ** 2))
    trust = float(np.clip(mean / deviation - 1.0, 0.0, 1.0)) if deviation > 0 else 0.0
    return (1.0 - trust) * without + trust * within


def _softmax(scores: FloatArray) -> FloatArray:
    powers = np.exp(_TEMPER * (scores - scores.max()))
    shares: FloatArray = powers / powers.sum()
    return shares


def _scaled(weights: Linear, setting: Setting) -> Linear:
    meaning, form, words = setting.variances
    return Linear(0.0, meaning * weights.meaning, form * weights.form, words * weights.words)


def _weights(features: Features, amounts: FloatArray, mean: float, centre: Linear, setting: Setting) -> Linear:
    weights = _scaled(features.summed(amounts).plus(centre, -float(amounts.sum())), setting)
    return Linear(mean - weights.dot(centre), weights.meaning, weights.form, weights.words)


def _iterative_fit(
    features: Features, targets: FloatArray, counts: FloatArray, centre: Linear, setting: Setting
) -> tuple[FloatArray, float]:
    """(amounts, mean) as in `_exact_fits`, by conjugate gradients: no n × n matrix is made."""

    def times_covariance(amounts: FloatArray) -> FloatArray:
        weights = _scaled(features.summed(amounts).plus(centre, -float(amounts.sum())), setting)
        result: FloatArray = features.times(weights) - weights.dot(centre) + amounts / counts
        return result

    def solve(right: FloatArray) -> FloatArray:
        # Scaled by the counts, the matrix is the identity plus little: it needs few steps.
        root = np.sqrt(counts)
        solution = np.zeros(len(right))
        residual = root * right
        direction, size = residual, float(residual @ residual)
        first = size
        for _ in range(_STEPS):
            if size <= _SOLVED * first:
                break
            moved = root * times_covariance(root * direction)
            step = size / float(direction @ moved)
            solution = solution + step * direction
            residual = residual - step * moved
            smaller = float(residual @ residual)
            direction, size = residual + smaller / size * direction, smaller
        return root * solution

    ones, wanted = solve(np.ones(len(targets))), solve(targets)
    mean = float(wanted.sum() / ones.sum())
    return wanted - mean * ones, mean
