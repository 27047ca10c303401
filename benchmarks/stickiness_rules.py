"""When should a conversation leave the strong model's prompt cache? Rules compared on made-up conversations.

    python benchmarks/stickiness_rules.py [--conversations 25] [--seeds 1 2] [--json FILE]

Nothing is called. A conversation is a list of user turns, each hard (it wants strong) or easy, with a pause before it,
and with calls whose tokens are drawn. Two providers keep prompt caches, and bill what they read, wrote and found cached
at published prices. A rule is asked only where the gateway would ask it: strong has the conversation, its cache is
there, and the user's next turn is easy. It sees what the gateway can see. The clairvoyant sees all turns to come, and
takes the cheapest way through them that a rule could take.

Every combination of the `CONDITIONS` gets as many conversations, and all conversations count alike, each by its dollars
over the clairvoyant's. All rules play the same ones. The rule was picked on other seeds; those of the results
(benchmarks/results/stickiness_rules.json) were looked at afterwards.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from turnout.atomic_write import write_atomically
from turnout.config import ModelConfig
from turnout.gateway.choosing.sessions import Session
from turnout.gateway.choosing.stickiness import (
    WORTH_SPENDING,
    beyond_weak_usd,
    pays_to_stay,
    saved_usd,
    thrown_away_usd,
    would_be_lost,
)
from turnout.gateway.protocols.usage import Usage
from turnout.pricing import Price

CACHE_LIFETIME_S = 300.0

PRICES = {
    "gpt-4.1": (Price(2.00, 8.00, 0.50), Price(0.40, 1.60, 0.10)),
    "gpt-5": (Price(1.25, 10.00, 0.125), Price(0.25, 2.00, 0.025)),
    "claude-opus-4.5": (Price(5.00, 25.00, 0.50, 6.25), Price(1.00, 5.00, 0.10, 1.25)),
}
"""Of strong and weak (gpt-4.1-mini, gpt-5-mini, claude-haiku-4.5). OpenAI's: `benchmarks/agent_conversation.py`.
Anthropic's: https://platform.claude.com/docs/en/about-claude/pricing, with writes that are kept for five minutes."""

STRONG_SHARES = (0.1, 0.3, 0.5, 0.7)
"""Of a route's turns. A conversation's own share is drawn around it (beta, as wide as from four turns seen)."""
PATTERNS = ("independent", "clustered", "long runs")
CALLS_A_TURN = (1, 5)
"""On average, geometric: a chat, an agent."""
PACES = {"brisk": (10.0, 60.0), "medium": (20.0, 150.0), "slow": (45.0, 240.0)}
"""Seconds that a call takes, and the median pause of the user's, about which each user has a median of their own."""
SPREADS = (0.3, 0.9)
"""Standard deviations of the logarithm of one user's pauses."""
MEAN_TURNS = (8, 25)
"""Of the user's in a conversation, geometric, from 2 to 50."""


@dataclass(frozen=True)
class Pair:
    """Two models of a route."""

    strong: ModelConfig
    weak: ModelConfig


def _model(name: str, price: Price) -> ModelConfig:
    return ModelConfig(name, "http://nowhere.invalid/v1", price=price, cache_lifetime_s=CACHE_LIFETIME_S)


PAIRS = {name: Pair(_model("strong", strong), _model("weak", weak)) for name, (strong, weak) in PRICES.items()}


@dataclass(frozen=True)
class Turn:
    """A turn of the user's, and the calls that it takes."""

    is_hard: bool
    begins: float
    pace_s: float
    calls: tuple[tuple[int, int], ...]
    """(tokens read, tokens written) of each."""

    @property
    def ends(self) -> float:
        """When its last answer is there."""
        return self.begins + self.pace_s * len(self.calls)


@dataclass(frozen=True)
class Cache:
    """What a model's provider has of a conversation."""

    tokens: int = 0
    used: float = -math.inf


def served(turn: Turn, model: ModelConfig, cached: Cache) -> tuple[list[Usage], Cache]:
    """What the provider counts for each call of a turn, and its cache afterwards."""
    assert model.price is not None
    tells_of_writing = model.price.usd_per_million_cache_write_tokens is not None
    counted = []
    for number, (read, written) in enumerate(turn.calls):
        now = turn.begins + number * turn.pace_s
        found = min(cached.tokens, read) if now - cached.used <= CACHE_LIFETIME_S else 0
        counted.append(Usage(read, written, found, read - found if tells_of_writing else 0))
        cached = Cache(read, now)
    return counted, cached


def cost_usd(counted: Sequence[Usage], model: ModelConfig) -> float:
    """Of these calls."""
    assert model.price is not None
    return sum(usage.cost_usd(model.price) for usage in counted)


@dataclass(frozen=True)
class Offer:
    """What a rule may look at. Dollars, but for the last lines."""

    saved: float
    """By weak in this turn, were its cache as warm as strong's."""
    cold: float
    """What weak pays to read all of it for the first time."""
    worth: float
    """What strong would have to read anew without its cache."""
    spent: float
    """On staying since the last hard turn."""
    would_be_lost: bool
    """Whether the cache does not outlive one turn away, if the next pause is as this one."""
    pause_s: float
    turn_s: float
    route_share: float
    """Of hard turns, with all users of the route."""
    hard: int
    """Turns of this conversation."""
    turns: int


Rule = Callable[[Offer], bool]


def break_even(share: float) -> Rule:
    """Stay until a share of the cache's worth has been spent on staying."""
    return lambda offer: offer.would_be_lost and offer.spent + offer.saved <= share * offer.worth


def _history(offer: Offer) -> float:
    """The chance that the next turn is hard, by the conversation's turns so far; the route's share counts as two."""
    return (2 * offer.route_share + offer.hard) / (2 + offer.turns)


def _kept(offer: Offer) -> float:
    """The chance that a cache is there after the next pause if one stays, less that if one goes.

    The pause is log-logistic, with this one as its median and the shape 2.
    """

    def shorter_than(limit_s: float) -> float:
        return limit_s**2 / (limit_s**2 + offer.pause_s**2) if limit_s > 0 else 0.0

    return shorter_than(CACHE_LIFETIME_S) - shorter_than(CACHE_LIFETIME_S - offer.pause_s - offer.turn_s)


SHIPPED, BEFORE, NEVER = "shipped", "one turn", "never stay"
RULES: dict[str, Rule | None] = {
    NEVER: None,
    BEFORE: lambda o: o.would_be_lost and o.saved - o.cold <= o.worth,
    SHIPPED: lambda o: o.would_be_lost and pays_to_stay(o.spent + o.saved, o.worth),
    "break even": break_even(1.0),
    "break even at 1/2": break_even(0.5),
    "break even at 1/8": break_even(0.125),
    "chance 1/4": lambda o: o.would_be_lost and o.saved <= 0.25 * o.worth,
    "chance by route": lambda o: o.would_be_lost and o.saved <= o.route_share * o.worth,
    "chance by history": lambda o: o.would_be_lost and o.saved <= _history(o) * o.worth,
    "chance by history, weak's reading too": lambda o: o.would_be_lost and o.saved <= _history(o) * (o.worth + o.cold),
    "chance by history, break even": (
        lambda o: o.would_be_lost and o.saved <= _history(o) * o.worth and o.spent + o.saved <= o.worth
    ),
    "pauses vary, break even at 1/2": lambda o: o.spent + o.saved <= 0.5 * _kept(o) * o.worth,
    "pauses vary, chance by history": lambda o: o.saved <= _history(o) * _kept(o) * o.worth,
    "pauses vary, history, break even at 1/2": (
        lambda o: o.saved <= _history(o) * _kept(o) * o.worth and o.spent + o.saved <= 0.5 * _kept(o) * o.worth
    ),
}


def conversation(
    rng: np.random.Generator, share: float, pattern: str, mean_turns: int, calls: int, pace: str, spread: float
) -> list[Turn]:
    """All turns, from the first on."""
    own_share = float(np.clip(rng.beta(4 * share, 4 * (1 - share)), 0.02, 0.95))
    length = min(50, max(2, int(rng.geometric(1 / mean_turns))))
    call_s, pause_s = PACES[pace]
    pause_s *= rng.lognormal(0.0, 0.3)
    tokens, now, turns = int(rng.lognormal(math.log(15_000), 0.8)), 0.0, []
    for is_hard in _hard_turns(rng, own_share, pattern, length):
        now += rng.lognormal(math.log(pause_s), spread)
        tokens += int(rng.lognormal(math.log(100), 0.8))
        made = []
        for number in range(int(rng.geometric(1 / calls))):
            if number:
                tokens += int(rng.lognormal(math.log(800), 0.9))  # a tool's result
            written = int(rng.lognormal(math.log(250), 0.8))
            made.append((tokens, written))
            tokens += written
        turn = Turn(is_hard, now, call_s * rng.lognormal(0.0, 0.3), tuple(made))
        turns.append(turn)
        now = turn.ends
    return turns


def _hard_turns(rng: np.random.Generator, share: float, pattern: str, length: int) -> list[bool]:
    """Which turns are hard: about this share, in runs that differ in length."""
    if pattern == "independent":
        return [bool(hard) for hard in rng.random(length) < share]
    hard: list[bool] = []
    is_hard = bool(rng.random() < share)
    while len(hard) < length:
        if pattern == "clustered":  # easy runs of at least four turns on average
            mean_easy = max(4.0, 1 / share)
            run = int(rng.geometric(1 / max(1.0, mean_easy * share / (1 - share) if is_hard else mean_easy)))
        elif is_hard:
            run = int(rng.geometric(1 / max(1.0, 3.1 * share / (1 - share))))
        else:  # one easy turn as a rule, and now and then many: 3.1 on average
            run = 1 if rng.random() < 0.7 else int(3 + rng.geometric(0.2))
        hard += [is_hard] * run
        is_hard = not is_hard
    return hard[:length]


def played(turns: Sequence[Turn], pair: Pair, rule: Rule | None, route_share: float) -> tuple[float, int]:
    """(dollars, turns for which a conversation stayed) under a rule."""
    strong_cache, weak_cache = Cache(), Cache()
    session: Session | None = None
    usd, stayed, calls_so_far, hard = 0.0, 0, 0, 0
    for number, turn in enumerate(turns):
        spent, stays = 0.0, False
        if not turn.is_hard and session is not None and rule is not None:
            calls = max(1, round(calls_so_far / number))
            offer = _offer(turn, session, pair, calls, route_share, hard, number)
            stays = offer.worth > 0 and offer.pause_s <= CACHE_LIFETIME_S and rule(offer)
        if turn.is_hard or stays:
            counted, strong_cache = served(turn, pair.strong, strong_cache)
            usd += cost_usd(counted, pair.strong)
            if stays and session is not None:
                stayed += 1
                beyond = (beyond_weak_usd(usage, pair.strong.price, pair.weak.price) or 0.0 for usage in counted)
                spent = session.stay_usd + sum(beyond)
            last = counted[-1]
            cached = last.cache_read_tokens + last.cache_write_tokens
            session = Session("strong", turn.ends, cached, last.output_tokens, turn.pace_s, spent)
        else:
            counted, weak_cache = served(turn, pair.weak, weak_cache)
            usd += cost_usd(counted, pair.weak)
            session = None
        calls_so_far += len(turn.calls)
        hard += turn.is_hard
    return usd, stayed


def _offer(turn: Turn, session: Session, pair: Pair, calls: int, route_share: float, hard: int, turns: int) -> Offer:
    tokens, pause_s = turn.calls[0][0], turn.begins - session.time
    saved = saved_usd(session, pair.strong, pair.weak, tokens=tokens, calls=calls)
    assert saved is not None
    return Offer(
        saved,
        thrown_away_usd(session, pair.weak),
        thrown_away_usd(session, pair.strong),
        session.stay_usd,
        would_be_lost(session, pair.strong, pause_s=pause_s, calls=calls),
        pause_s,
        calls * session.pace_s,
        route_share,
        hard,
        turns,
    )


def clairvoyant(turns: Sequence[Turn], pair: Pair) -> float:
    """The fewest dollars: hard turns go to strong, and easy ones may stay there if the turn before was there."""

    def left_by(number: int) -> Cache:
        turn = turns[number]
        return Cache(turn.calls[-1][0], turn.begins + turn.pace_s * (len(turn.calls) - 1)) if number >= 0 else Cache()

    @cache
    def turn_usd(number: int, before: int, *, at_strong: bool) -> float:
        model = pair.strong if at_strong else pair.weak
        return cost_usd(served(turns[number], model, left_by(before))[0], model)

    @cache
    def from_here(number: int, last_strong: int, last_weak: int) -> float:
        if number == len(turns):
            return 0.0
        ways = []
        if turns[number].is_hard or (number and last_strong == number - 1):
            ways.append(turn_usd(number, last_strong, at_strong=True) + from_here(number + 1, number, last_weak))
        if not turns[number].is_hard:
            ways.append(turn_usd(number, last_weak, at_strong=False) + from_here(number + 1, last_strong, number))
        return min(ways)

    return from_here(0, -1, -1)


CONDITIONS = {
    "strong share": STRONG_SHARES,
    "pattern": PATTERNS,
    "turns": MEAN_TURNS,
    "calls a turn": CALLS_A_TURN,
    "pace": tuple(PACES),
    "strong model": tuple(PAIRS),
    "spread of pauses": SPREADS,
}


def measure(conversations: int, seed: int) -> dict[str, Any]:
    """All rules on as many conversations of every combination."""
    cells = list(itertools.product(*CONDITIONS.values()))
    usd = {name: np.empty((len(cells), conversations)) for name in RULES}
    best, stayed = np.empty((len(cells), conversations)), dict.fromkeys(RULES, 0)
    for number, (share, pattern, length, calls, pace, pair_name, spread) in enumerate(cells):
        rng = np.random.default_rng([seed, number])
        for turn in range(conversations):
            turns = conversation(rng, share, pattern, length, calls, pace, spread)
            best[number, turn] = clairvoyant(turns, PAIRS[pair_name])
            for name, rule in RULES.items():
                usd[name][number, turn], stays = played(turns, PAIRS[pair_name], rule, share)
                stayed[name] += stays
    ratios = {name: paid / best for name, paid in usd.items()}
    assert min(ratio.min() for ratio in ratios.values()) > 1 - 1e-9, "no one does better than the clairvoyant"
    lowest = min(RULES, key=lambda name: float(ratios[name].mean()))
    return {
        "seed": seed,
        "conversations": best.size,
        "clairvoyant_mean_usd": _rounded(best.mean()),
        "lowest": lowest,
        "rules": {
            name: {
                "mean_usd": _rounded(usd[name].mean()),
                "mean_regret_usd": _rounded((usd[name] - best).mean()),
                "mean_ratio": _rounded(ratio.mean()),
                "beyond_lowest": _rounded((ratio - ratios[lowest]).mean()),
                "beyond_lowest_error": _rounded(1.96 * (ratio - ratios[lowest]).std() / math.sqrt(best.size)),
                "worst_condition_ratio": _rounded(ratio.mean(axis=1).max()),
                "p99_ratio": _rounded(np.quantile(ratio, 0.99)),
                "worst_ratio": _rounded(ratio.max()),
                "worst_regret_usd": _rounded((usd[name] - best).max()),
                "turns_stayed": stayed[name],
            }
            for name, ratio in ratios.items()
        },
        "mean_ratio_by_condition": {
            condition: {
                str(value): {
                    name: _rounded(ratio[[cell[place] == value for cell in cells]].mean())
                    for name, ratio in ratios.items()
                }
                for value in values
            }
            for place, (condition, values) in enumerate(CONDITIONS.items())
        },
    }


def _rounded(value: Any) -> float:
    return round(float(value), 4)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=25, help="of each combination")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path, help="write everything here, too")
    options = parser.parse_args()
    measured = [measure(options.conversations, seed) for seed in options.seeds]
    for result in measured:
        print(
            f"\nseed {result['seed']}, {result['conversations']} conversations, clairvoyant "
            f"${result['clairvoyant_mean_usd']:.4f}; lowest: {result['lowest']}"
        )
        print(f"{'':40}{'mean $':>9}{'regret':>9}{'ratio':>8}{'beyond lowest':>19}{'p99':>7}{'worst':>7}{'stayed':>8}")
        for name, row in result["rules"].items():
            print(
                f"{name:40}{row['mean_usd']:>9.4f}{row['mean_regret_usd']:>9.4f}{row['mean_ratio']:>8.4f}"
                f"{row['beyond_lowest']:>10.4f} ±{row['beyond_lowest_error']:>7.4f}{row['p99_ratio']:>7.3f}"
                f"{row['worst_ratio']:>7.3f}{row['turns_stayed']:>8}"
            )
    if options.json:
        facts = {"worth_spending": WORTH_SPENDING, "cache_lifetime_s": CACHE_LIFETIME_S, "conditions": CONDITIONS}
        with write_atomically(options.json) as file:
            file.write((json.dumps({**facts, "seeds": measured}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
