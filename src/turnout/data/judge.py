"""Judge labels (paper, section 3.1): a language model compares two answers, in both orders, and battles come out.

Each pair of answers is shown twice, the second time the other way round. Where the two verdicts contradict each other,
the judge followed the place and not the answer: that is a tie, and is counted. What cannot be read after asking a
second time is no verdict: the pair is recorded as unjudged, never as a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from turnout.data.asking import Asking
from turnout.data.battles import Battles
from turnout.data.judge_prompt import ask_again_messages, judge_messages, read_verdict
from turnout.data.questions import Question
from turnout.data.replies import CallName
from turnout.errors import EmptyDataError
from turnout.types import JSON, ModelPair

Order = Literal["strong first", "weak first"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge made of one pair of answers. Shares are strong's, in [0, 1]."""

    question: Question
    strong_first: float | None = None
    """When strong's answer stood first; None for a reply that is no verdict."""
    weak_first: float | None = None
    identical: bool = False
    """Both answers are the same text: a tie for which no judge was asked."""

    @property
    def share(self) -> float | None:
        """Strong's share by both orders: their mean, but a tie where one prefers strong and the other does not.

        >>> question = Question("1", "?")
        >>> [Judgement(question, *orders).share for orders in [(1, 1), (1, 0), (1, 0.5), (0.75, 1), (1, None)]]
        [1.0, 0.5, 0.5, 0.875, None]
        """
        if self.identical:
            return 0.5
        if self.strong_first is None or self.weak_first is None:
            return None
        if (self.strong_first - 0.5) * (self.weak_first - 0.5) <= 0:
            return 0.5
        return (self.strong_first + self.weak_first) / 2


@dataclass(frozen=True, eq=False)
class Judgements:
    """All judgements of one run, and what can be said about the judge from them alone."""

    pair: ModelPair
    judgements: Sequence[Judgement]
    asked_again: int = 0
    """Replies without a verdict, after which the judge was asked a second time."""

    @property
    def judged(self) -> list[Judgement]:
        """Those with a result."""
        return [one for one in self.judgements if one.share is not None]

    @property
    def unjudged(self) -> list[Judgement]:
        """Those of which one order or both brought no verdict, even when asked again."""
        return [one for one in self.judgements if one.share is None]

    def battles(self, source: str) -> Battles:
        """One battle for each pair that was judged, strong as model a.

        Raises:
            EmptyDataError: none was.
        """
        judged = self.judged
        if not judged:
            raise EmptyDataError(f"No pair of answers was judged: {len(self.unjudged):,} without a readable verdict.")
        return Battles.from_columns(
            [one.question.text for one in judged],
            self.pair.strong,
            self.pair.weak,
            [share for one in judged if (share := one.share) is not None],
            source=source,
            pair=self.pair,
        )

    def position(self) -> dict[str, JSON]:
        """How the two orders' verdicts relate, over the pairs with both.

        `same` agree; `first_twice` and `second_twice` preferred whatever stood in that place; `half` have a winner in
        one order only. `bias_rate` is the share of (first_twice + second_twice), None if there is no pair.
        """
        counts = {"same": 0, "first_twice": 0, "second_twice": 0, "half": 0}
        for one in self.judgements:
            if one.strong_first is None or one.weak_first is None:
                continue
            first, second = one.strong_first - 0.5, one.weak_first - 0.5
            if first * second > 0 or first == second == 0:
                counts["same"] += 1
            elif first * second < 0:
                counts["first_twice" if first > 0 else "second_twice"] += 1
            else:
                counts["half"] += 1
        n = sum(counts.values())
        biased = counts["first_twice"] + counts["second_twice"]
        return {"pairs": n, **counts, "bias_rate": biased / n if n else None}

    def shares(self) -> dict[str, float]:
        """Query → strong's share, for the pairs that were judged."""
        return {one.question.text: share for one in self.judgements if (share := one.share) is not None}

    def to_json(self) -> dict[str, JSON]:
        """Counts, as a JSON object."""
        return {
            "pairs": len(self.judgements),
            "judged": len(self.judged),
            "identical": sum(one.identical for one in self.judgements),
            "unjudged": len(self.unjudged),
            "asked_again": self.asked_again,
            "position": self.position(),
        }

    def text(self) -> str:
        """The same as lines for people."""
        counts = self.to_json()
        position = counts["position"]
        shares = [share for one in self.judgements if (share := one.share) is not None]
        wins = sum(share > 0.5 for share in shares), sum(share < 0.5 for share in shares)
        lines = [
            f"{counts['judged']:,} of {counts['pairs']:,} pairs judged: {wins[0]:,} for {self.pair.strong}, "
            f"{len(shares) - sum(wins):,} ties, {wins[1]:,} for {self.pair.weak}; {counts['unjudged']:,} unjudged, "
            f"{counts['identical']:,} with identical answers"
        ]
        if position["pairs"]:
            lines.append(
                f"both orders: {position['same']:,} the same, {position['half']:,} with a winner in one order only, "
                f"{position['first_twice']:,} twice the first, {position['second_twice']:,} twice the second answer "
                f"(position bias rate {position['bias_rate']:.1%})"
            )
        if self.asked_again:
            lines.append(f"{self.asked_again:,} replies without a verdict were asked for again")
        return "\n".join(lines)

    def unjudged_rows(self) -> list[dict[str, JSON]]:
        """The pairs that were not judged, for a file: which order brought a verdict, and which did not."""
        return [
            {
                "id": one.question.id,
                "query": one.question.text,
                "strong_first": one.strong_first,
                "weak_first": one.weak_first,
            }
            for one in self.unjudged
        ]


@dataclass
class Judge:
    """A judge at work on one pair of models, through `Asking`, which holds budget, rate limits and replies."""

    asking: Asking
    name: str
    """The judge's model."""
    pair: ModelPair
    graded: bool = False
    """Whether the verdict says how much better an answer is; then shares of 0.25 and 0.75 come out too."""
    _found: dict[str, Judgement] = field(default_factory=dict, init=False)
    _asked_again: int = field(default=0, init=False)

    async def judge(self, questions: Iterable[Question], *, done: Callable[[], None] = lambda: None) -> None:
        """Judge each question's two answers; `result` has what came out.

        Raises:
            TurnoutError: see `Asking.each`. What was judged until then is kept.
        """
        await self.asking.each(questions, self._compare, done=done)

    def result(self, questions: Iterable[Question]) -> Judgements:
        """The judgements so far, in the questions' order. Those that a failed call left open are not among them."""
        found = [self._found[question.id] for question in questions if question.id in self._found]
        return Judgements(self.pair, found, self._asked_again)

    async def _compare(self, question: Question) -> None:
        strong = await self._answer(question, self.pair.strong)
        weak = await self._answer(question, self.pair.weak)
        if strong.strip() == weak.strip():
            self._found[question.id] = Judgement(question, identical=True)
            return
        first = await self._verdict(question, "strong first", strong, weak)
        second = await self._verdict(question, "weak first", weak, strong)
        self._found[question.id] = Judgement(question, first, None if second is None else 1 - second)

    async def _answer(self, question: Question, model: str) -> str:
        """The stored answer, or one that is asked for now: then `asking` must know the model."""
        if model in question.answers:
            return question.answers[model].text
        messages = [{"role": "user", "content": question.prompt or question.text}]
        return (await self.asking.ask(CallName(question.id, model), messages)).text

    async def _verdict(self, question: Question, order: Order, first: str, second: str) -> float | None:
        """The share of the answer that stands first, or None if the judge gives no verdict, even when asked again."""
        messages = judge_messages(question.text, first, second, graded=self.graded)
        reply = await self.asking.ask(CallName(question.id, self.name, f"verdict, {order}"), messages)
        share = read_verdict(reply.text, graded=self.graded)
        if share is None:
            self._asked_again += 1
            again = ask_again_messages(messages, reply.text, graded=self.graded)
            name = CallName(question.id, self.name, f"verdict, {order}, again")
            share = read_verdict((await self.asking.ask(name, again)).text, graded=self.graded)
        return share
