"""Drops every text that holds a benchmark's test question or comes near one."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
from corpus import read_json_lines
from sklearn.feature_extraction.text import TfidfVectorizer

RUN = 8
"""A text that shares so many words in a row with a test question is dropped."""

SIMILARITY = 0.7
"""So is a text whose TF-IDF vector (words and word pairs) has this cosine to a test question's."""


def test_questions(data: Path) -> list[str]:
    """The questions of MMLU, GSM8K, MT Bench and of those rows of MMLU-Pro that are MMLU's."""
    release = data / "routellm_release"
    questions = []
    for path in [*sorted(release.glob("mmlu/*.csv")), release / "gsm8k/gsm8k_responses.csv"]:
        with path.open(newline="", encoding="utf-8") as file:
            questions += [row["prompt"] for row in csv.DictReader(file)]
    for line in (release / "mt_bench/question.jsonl").read_text(encoding="utf-8").splitlines():
        questions += json.loads(line)["turns"]
    for row in read_json_lines(data / "mmlu_pro/mmlu_pro_per_question.jsonl.gz"):
        if str(row["src"]).startswith("ori_mmlu"):
            questions.append(str(row["question"]))
    return questions


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def runs_of(text: str) -> set[int]:
    words = words_of(text)
    return {hash(tuple(words[start : start + RUN])) for start in range(len(words) - RUN + 1)}


def near_test_questions(texts: list[str], questions: list[str]) -> np.ndarray:
    """True for each text that shares a run of words with a question, contains it whole, or is similar to it."""
    test_runs = set().union(*(runs_of(question) for question in questions))
    short = {" ".join(words_of(q)) for q in questions if 3 <= len(words_of(q)) < RUN}
    shared = np.array([not test_runs.isdisjoint(runs_of(t)) or " ".join(words_of(t)) in short for t in texts])
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    vectorizer.fit(questions + texts)
    tests = vectorizer.transform(questions).T.tocsc()
    similar = np.zeros(len(texts), dtype=bool)
    for start in range(0, len(texts), 500):
        cosines = vectorizer.transform(texts[start : start + 500]) @ tests
        similar[start : start + 500] = cosines.max(axis=1).toarray().ravel() >= SIMILARITY
    return shared | similar
