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

from turnout.routers.features.blocks import Features, LinearFunction
from turnout.routers.learning.conjugate_gradients import solve
from turnout.types import FloatArray, IntArray

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
_LEAST = 0.01  # a setting with a smaller share of the average is left out where solving is costly
_TEMPER = 0.5  # all settings err on the same queries, so that their difference counts for less than it seems


@dataclass(frozen=True)
class Setting:
    """One way to weigh the blocks and to shrink."""

    variances: tuple[float, float, float]
    """Of the weights of meaning, form and words, in units of the noise."""
    prior_share: float


@dataclass(frozen=True, eq=False)
class AveragedRidge:
    """The average fit."""

    weights: LinearFunction
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
    prior: LinearFunction | None = None,
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
    average = LinearFunction.zero(features.meaning.shape[1], features.form.shape[1])
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


def _scaled(weights: LinearFunction, setting: Setting) -> LinearFunction:
    meaning, form, words = setting.variances
    return LinearFunction(0.0, meaning * weights.meaning, form * weights.form, words * weights.words)


def _weights(
    features: Features, amounts: FloatArray, mean: float, centre: LinearFunction, setting: Setting
) -> LinearFunction:
    weights = _scaled(features.summed(amounts).plus(centre, -float(amounts.sum())), setting)
    return LinearFunction(mean - weights.dot(centre), weights.meaning, weights.form, weights.words)


def _iterative_fit(
    features: Features, targets: FloatArray, counts: FloatArray, centre: LinearFunction, setting: Setting
) -> tuple[FloatArray, float]:
    """(amounts, mean) as in `_exact_fits`, by conjugate gradients: no n × n matrix is made."""

    def times_covariance(amounts: FloatArray) -> FloatArray:
        weights = _scaled(features.summed(amounts).plus(centre, -float(amounts.sum())), setting)
        result: FloatArray = features.times(weights) - weights.dot(centre) + amounts / counts
        return result

    # Scaled by the counts, the matrix is the identity plus little: it needs few steps.
    root = np.sqrt(counts)

    def solved(right: FloatArray) -> FloatArray:
        return root * solve(lambda v: root * times_covariance(root * v), root * right)

    ones, wanted = solved(np.ones(len(targets))), solved(targets)
    mean = float(wanted.sum() / ones.sum())
    return wanted - mean * ones, mean
