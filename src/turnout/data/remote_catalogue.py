"""The data sets that `turnout data pull` knows: the paper's own, and the benchmarks that models can be asked.

Revisions are whole commits, which fix every byte. Hashes stand here where somebody published them; for the other files
the hub's own hash is checked, and the first pull writes it down (docs/reference/pulled-data.md says which is which).
"""

from __future__ import annotations

from turnout.data.remote_sets import RemoteFile, RemoteSet, Repository
from turnout.errors import UnknownNameError

_SUBJECTS = """
    abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
    college_computer_science college_mathematics college_medicine college_physics computer_security
    conceptual_physics econometrics electrical_engineering elementary_mathematics formal_logic global_facts
    high_school_biology high_school_chemistry high_school_computer_science high_school_european_history
    high_school_geography high_school_government_and_politics high_school_macroeconomics high_school_mathematics
    high_school_microeconomics high_school_physics high_school_psychology high_school_statistics
    high_school_us_history high_school_world_history human_aging human_sexuality international_law jurisprudence
    logical_fallacies machine_learning management marketing medical_genetics miscellaneous moral_disputes
    moral_scenarios nutrition philosophy prehistory professional_accounting professional_law
    professional_medicine professional_psychology public_relations security_studies sociology us_foreign_policy
    virology world_religions
""".split()  # noqa: SIM905 - one word a line would be 57 lines


def _first_shard(folder: str, split: str, sha256: str | None = None) -> RemoteFile:
    """A split that the hub keeps in one file."""
    return RemoteFile(f"{folder}/{split}-00000-of-00001.parquet", f"{split}.parquet", sha256)


def _mt_bench_questions(name: str) -> Repository:
    """MT Bench's questions, in a file of this name."""
    path = "fastchat/llm_judge/data/mt_bench/question.jsonl"
    sha256 = "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7"
    revision = "587d5cfa1609a43d192cedb8441cac3c17db105d"
    return Repository("github", "lm-sys/FastChat", (RemoteFile(path, name, sha256),), revision)


_NO_LICENCE = (
    "No licence is stated for these files. Without one you may not pass them on, and whether you may use them is yours "
    "to judge."
)

ARENA_55K = RemoteSet(
    name="arena-55k",
    what="human votes of Chatbot Arena, the paper's D_arena (lmsys/lmsys-arena-human-preference-55k)",
    licence="Apache-2.0",
    repositories=(
        Repository(
            "hub",
            "lmarena-ai/arena-human-preference-55k",  # the old name leads here
            (RemoteFile("train.csv"),),
            "18c298340948c0e7f7727399fd459cca6ce0ca6f",
        ),
    ),
    n_bytes=184_000_000,
    pinned_from="the commit list on the data set's page",
    rows=57_477,
    next_step="turnout data import arena-55k {folder}/train.csv --out arena.jsonl --min-characters 16",
)

JUDGE_BATTLES = RemoteSet(
    name="gpt4-judge-battles",
    what="gpt-4-1106-preview against mixtral-8x7b, judged by GPT-4: the paper's D_judge (routellm/gpt4_judge_battles)",
    licence="Apache-2.0, with others' terms",
    repositories=(
        Repository(
            "hub",
            "routellm/gpt4_judge_battles",
            (_first_shard("data", "train"),),
            "2a1afe8d0659904c0f6f59de6179e086fdb027c7",
        ),
    ),
    n_bytes=167_000_000,
    pinned_from="public code that pins this commit",
    rows=109_101,
    terms=(
        "Its card says Apache-2.0, but its queries come from Nectar, whose card asks for non-commercial use, and its "
        "answers and labels from OpenAI's models, whose terms restrict what may be trained on them."
    ),
    next_step="turnout data import gpt4-judge-battles {folder}/train.parquet --out judge.jsonl",
)

MMLU_BATTLES = RemoteSet(
    name="mmlu-battles",
    what="the same pair on MMLU's validation questions: the paper's D_gold (routellm/mmlu_battles)",
    licence="not stated (MMLU: MIT)",
    repositories=(
        Repository(
            "hub",
            "routellm/mmlu_battles",
            (_first_shard("data", "train"),),
            "c1ce42bbe822f90c5177fb1f475a162d7e95a121",
        ),
    ),
    n_bytes=1_000_000,
    pinned_from="public documentation that pins this commit",
    rows=1_531,
    terms=_NO_LICENCE,
    next_step="turnout data import mmlu-battles {folder}/train.parquet --out golden.jsonl",
)

ARENA_EMBEDDINGS = RemoteSet(
    name="arena-battles-embeddings",
    what="text-embedding-3-small vectors of the votes' queries (routellm/arena_battles_embeddings)",
    licence="not stated",
    repositories=(
        Repository(
            "hub",
            "routellm/arena_battles_embeddings",
            (_first_shard("data", "train"),),
            "6cc7277cab42bb81c094c58cbe45b2e3646a9201",
        ),
    ),
    n_bytes=373_000_000,
    pinned_from="public documentation that pins this commit",
    terms=_NO_LICENCE,
)

JUDGE_EMBEDDINGS = RemoteSet(
    name="gpt4-judge-battles-embeddings",
    what="text-embedding-3-small vectors of the judged queries (routellm/gpt4_judge_battles_embeddings)",
    licence="not stated",
    repositories=(
        Repository(
            "hub",
            "routellm/gpt4_judge_battles_embeddings",
            tuple(RemoteFile(f"default/train/{n:04}.parquet", f"train-{n}.parquet") for n in range(2)),
            branch="refs%2Fconvert%2Fparquet",
        ),
    ),
    n_bytes=736_000_000,
    pinned_from="nowhere: only the first digits of its commits were found",
    rows=109_101,
    terms=_NO_LICENCE,
)

OUTCOMES = RemoteSet(
    name="routellm-outcomes",
    what="right or wrong of the paper's pair on MMLU and GSM8K, and its MT Bench judgements (lm-sys/RouteLLM)",
    licence="Apache-2.0 (MMLU and GSM8K: MIT)",
    repositories=(
        Repository(
            "github",
            "lm-sys/RouteLLM",
            (
                *(
                    RemoteFile(f"routellm/evals/mmlu/responses/mmlu_{subject}.csv", f"mmlu/mmlu_{subject}.csv")
                    for subject in _SUBJECTS
                ),
                RemoteFile("routellm/evals/gsm8k/gsm8k_responses.csv", "gsm8k/gsm8k_responses.csv"),
                RemoteFile("routellm/evals/mt_bench/judgements.jsonl", "mt_bench/judgements.jsonl"),
                *(
                    RemoteFile(
                        f"routellm/evals/{benchmark}/contaminated_prompts.jsonl",
                        f"{benchmark}/contaminated_prompts.jsonl",
                    )
                    for benchmark in ("mmlu", "gsm8k", "mt_bench")
                ),
            ),
            "0b64fdafe049e596a3f5657c219329f24af24198",
        ),
        _mt_bench_questions("mt_bench/question.jsonl"),
    ),
    n_bytes=10_000_000,
    pinned_from="public documentation that pins this commit; the hash of the questions is published",
    rows=15_441,
    next_step="turnout evaluate ROUTER --benchmark mmlu --data {folder}",
)

MMLU = RemoteSet(
    name="mmlu",
    what="MMLU: multiple-choice questions in 57 subjects, with the key (cais/mmlu)",
    licence="MIT",
    repositories=(
        Repository(
            "hub",
            "cais/mmlu",
            (
                _first_shard("all", "test", "74a41822ce7d3def56e1682f958469c04642a5336a5ce912fa375fdb90fb25d7"),
                _first_shard("all", "validation", "66cdf0b090ccb657d18d13cd81e31fdc55c3467da9642ffb178653268a97c8ef"),
                _first_shard("all", "dev", "2b19bde1ed8ca6b482fb283abc90e8e0d9d228947029c0b91795d64b28b3bc3f"),
            ),
            "c30699e8356da336a370243923dbaf21066bb9fe",
        ),
    ),
    n_bytes=4_000_000,
    pinned_from="public code that pins this commit and these hashes",
    rows=15_858,
    next_step="turnout data import mmlu-questions {folder}/validation.parquet --out mmlu.jsonl",
)

GSM8K = RemoteSet(
    name="gsm8k",
    what="GSM8K: grade-school mathematics in words, with the answer (openai/gsm8k)",
    licence="MIT",
    repositories=(
        Repository(
            "hub",
            "openai/gsm8k",
            (
                _first_shard("main", "test", "ee7b8da9e381df27b9e3f7758a159ab2bdaa4dbaa910546cbbc47e0cb44e4f59"),
                _first_shard("main", "train", "ea82612ea9582142387730c793eb67d3b12849002bc0b7fa6f8efafa7351419d"),
            ),
            "e53f048856ff4f594e959d75785d2c2d37b678ee",
        ),
    ),
    n_bytes=3_000_000,
    pinned_from="public code that pins this commit and these hashes",
    rows=8_792,
    next_step="turnout data import gsm8k-questions {folder}/train.parquet --out gsm8k.jsonl",
)

MT_BENCH = RemoteSet(
    name="mt-bench",
    what="MT Bench: 80 open questions of two turns (lm-sys/FastChat)",
    licence="Apache-2.0",
    repositories=(_mt_bench_questions("question.jsonl"),),
    n_bytes=48_929,
    pinned_from="public code that pins this commit and this hash",
    rows=80,
    next_step="turnout data import mt-bench-questions {folder}/question.jsonl --out mt_bench.jsonl",
)

CATALOGUE = {
    remote.name: remote
    for remote in (
        ARENA_55K,
        ARENA_EMBEDDINGS,
        JUDGE_BATTLES,
        JUDGE_EMBEDDINGS,
        MMLU_BATTLES,
        OUTCOMES,
        MMLU,
        GSM8K,
        MT_BENCH,
    )
}
"""Name → set."""


def remote_set(name: str) -> RemoteSet:
    """The set of this name.

    Raises:
        UnknownNameError: there is none; the message suggests the nearest.
    """
    if name not in CATALOGUE:
        raise UnknownNameError("data set to pull", name, CATALOGUE)
    return CATALOGUE[name]
