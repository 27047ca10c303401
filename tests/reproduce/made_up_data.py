"""A folder like the one that `turnout reproduce` reads, tiny and made up: hard questions are strong's alone."""

import csv
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from turnout.data.importers.routellm_release import STRONG, WEAK

QUICK: dict[str, Any] = {
    "routers": ("knn", "mf"),
    "settings": {"mf": {"epochs": 3}},
    "n_golden_labels": 60,
    "n_seeds": 2,
    "n_replicates": 30,
}
"""Settings of a plan that suits it."""

LLAMA = ("Meta-Llama-3.1-70B-Instruct", "Meta-Llama-3.1-8B-Instruct")
_WORDS = ("river", "engine", "planet", "sonata", "harbour", "theorem", "orchard", "glacier", "lantern", "compass")


def question(kind: str, number: int) -> str:
    """A question with a word that tells hard from easy, and few words that others have too."""
    first, second = _WORDS[number % 10], _WORDS[number // 10 % 10]
    start = "prove rigorously that the" if number % 3 == 0 else "kindly say hello to my"
    return f"{start} {first} {second} of {kind} number {number}"


def make_data(folder: Path) -> Path:
    """Write everything; returns the folder."""
    _release(folder / "routellm_release")
    models = [*(f"model-{place}" for place in range(9)), "gpt-3.5-turbo-1106"]
    votes = [(question("vote", row), row % 10, (row + 3 + row // 10 % 4) % 10, row) for row in range(200)]
    write_lines(
        folder / "arena_human_2023" / "battles.jsonl.gz",
        [
            {"model_a": models[a], "model_b": models[b], "winner": _winner(a - b, row), "turns": [text]}
            for text, a, b, row in votes
        ],
    )
    judged = [question("judged", row) for row in range(60)]
    judged.append(question("mt-bench", 3))  # a question that is tested
    write_lines(
        folder / "alpaca_eval" / "pair_made_up.jsonl.gz",
        [{"prompt": text, "pref_judge": 1.0 if "prove" in text else 1.6} for text in judged],
    )
    write_lines(folder / "alpaca_eval" / "prompts.jsonl.gz", _numbered("prompt", judged))
    write_lines(
        folder / "alpaca_eval" / "prefs_made_up.jsonl.gz",
        [
            {"prompt_id": n, "ref": "gpt4_1106_preview", "model": model, "pref": 1.0 + (n % 7 == 0)}
            for n in range(60)
            for model in ("Mixtral-8x7B-Instruct-v0.1", "gpt-3.5-turbo-1106", "never-heard-of")
        ],
    )
    scores = [{STRONG: 9, "mixtral-8x7b-instruct-v0.1": 9 if "hello" in question("bench", n) else 2} for n in range(40)]
    write_lines(
        folder / "arena_bench_v1" / "scores.jsonl.gz",
        [{"question_id": n, "prompt": question("bench", n), "scores": one} for n, one in enumerate(scores)],
    )
    write_lines(
        folder / "zeroeval" / "crux_math.jsonl.gz",
        [
            {"task": task, "id": f"{task}-{n}", "question": question(task, n), "correct": _right(*LLAMA, n)}
            for task in ("crux", "math-l5")
            for n in range(60)
        ],
    )
    write_lines(
        folder / "routerbench_subset" / "answers.jsonl.gz",
        [
            {
                "sample_id": f"{name}.{n}",
                "eval_name": name,
                "prompt": question(name, n),
                "score": _right(STRONG, "mistralai/mixtral-8x7b-chat", n) | {"gpt-3.5-turbo-1106": float(n % 2)},
                "cost": {STRONG: 0.01, "mistralai/mixtral-8x7b-chat": 0.0002, "gpt-3.5-turbo-1106": 0.001},
            }
            for name in ("mbpp", "winogrande")
            for n in range(60)
        ],
    )
    return folder


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """JSON Lines, packed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def _release(home: Path) -> None:
    for name, n in (("mmlu", 240), ("gsm8k", 90)):
        (home / name).mkdir(parents=True)
        (home / name / "contaminated_prompts.jsonl").write_text('{"eval_prompt": "none"}\n')
        path = home / name / ("mmlu_law.csv" if name == "mmlu" else "gsm8k_responses.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["prompt", WEAK, STRONG])
            rows.writerows([question(name, row), row % 3 != 0 or row % 13 == 0, row % 17 != 0] for row in range(n))
    home = home / "mt_bench"
    home.mkdir()
    (home / "contaminated_prompts.jsonl").write_text('{"eval_prompt": "none"}\n')
    questions = [
        {"question_id": n, "category": "math", "turns": [question("mt-bench", n), "And why?"]} for n in range(30)
    ]
    (home / "question.jsonl").write_text("\n".join(map(json.dumps, questions)))
    rows = [
        {"question_id": n, "model": model, "score": score}
        for n in range(30)
        for model, score in ((STRONG, 9 - n % 2), (WEAK, 4 if n % 3 == 0 else 8))
        for _ in (1, 2)
    ]
    (home / "judgements.jsonl").write_text("\n".join(map(json.dumps, rows)))


def _right(strong: str, weak: str, number: int) -> dict[str, float]:
    return {strong: float(number % 11 != 0), weak: float(number % 3 != 0)}


def _winner(difference: int, row: int) -> str:
    better_wins = row % 5 != 0
    return "model_a" if (difference < 0) == better_wins else "model_b"


def _numbered(key: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    return [{f"{key}_id": n, key: text} for n, text in enumerate(texts)]
