import json
import os
from pathlib import Path

import numpy as np
import pytest

from turnout.data.importers.routellm_release import STRONG, WEAK, read_gsm8k, read_mmlu, read_mt_bench
from turnout.data.outcomes import Outcomes
from turnout.errors import DataError

HEADER = f"prompt,{WEAK},{STRONG}\n"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    for name in ("mmlu", "gsm8k", "mt_bench"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "contaminated_prompts.jsonl").write_text('{"eval_prompt": "Seen before?"}\n')
    (tmp_path / "mmlu" / "mmlu_law.csv").write_text(HEADER + '"Who\nsues?",False,True\nSeen before?,True,True\n')
    (tmp_path / "mmlu" / "mmlu_art.csv").write_text(HEADER + "Who paints?,True,True\n")
    (tmp_path / "gsm8k" / "gsm8k_responses.csv").write_text(HEADER + "2 + 2?,True,False\n")
    questions = [{"question_id": n, "category": "math", "turns": [f"Turn 1 of {n}", "Turn 2"]} for n in (1, 2)]
    (tmp_path / "mt_bench" / "question.jsonl").write_text("\n".join(map(json.dumps, questions)))
    scores = [(1, STRONG, 10), (1, STRONG, 7), (1, WEAK, 6), (1, WEAK, 5), (2, STRONG, 9), (2, WEAK, 9)]
    rows = [{"question_id": number, "model": model, "score": score} for number, model, score in scores]
    (tmp_path / "mt_bench" / "judgements.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_mmlu_has_a_slice_for_each_subject_and_leaves_out_what_was_seen(release: Path) -> None:
    imported = read_mmlu(release)
    assert isinstance(imported.data, Outcomes)
    assert list(imported.data.queries) == ["Who paints?", "Who\nsues?"]
    assert list(imported.data.slice) == ["art", "law"]
    assert imported.data.scores[:, imported.data.column(WEAK)].tolist() == [1.0, 0.0]
    assert imported.dropped == {"contaminated": 1}
    assert len(read_mmlu(release, decontaminate=False).data) == 3


def test_mt_bench_is_one_query_a_question_with_the_mean_of_its_turns(release: Path) -> None:
    data = read_mt_bench(release).data
    assert isinstance(data, Outcomes)
    assert list(data.queries) == ["Turn 1 of 1", "Turn 1 of 2"]
    assert data.scores[:, data.column(STRONG)].tolist() == [8.5, 9.0]


def test_a_score_that_is_no_truth_value_is_named_with_its_line(release: Path) -> None:
    (release / "gsm8k" / "gsm8k_responses.csv").write_text(HEADER + "2 + 2?,True,maybe\n")
    with pytest.raises(DataError, match=r"gsm8k_responses\.csv, line 2: .*must be True or False, got 'maybe'"):
        read_gsm8k(release)


def test_a_missing_column_is_named(release: Path) -> None:
    (release / "gsm8k" / "gsm8k_responses.csv").write_text(f"prompt,{WEAK}\nq,True\n")
    with pytest.raises(DataError, match=f"lacks the column {STRONG}"):
        read_gsm8k(release)


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="RouteLLM release"):
        read_mmlu(tmp_path)


@pytest.mark.skipif("TURNOUT_DATA" not in os.environ, reason="TURNOUT_DATA does not name the published data")
def test_the_published_files_give_the_known_counts_and_means() -> None:
    folder = Path(os.environ["TURNOUT_DATA"]) / "routellm_release"
    known = {  # queries, strong's mean and weak's mean, after decontamination
        read_mmlu: (14_037, 0.8059, 0.6809),
        read_gsm8k: (1_307, 0.8577, 0.6373),
        read_mt_bench: (72, 9.212, 8.281),
    }
    for read, (n, strong, weak) in known.items():
        data = read(folder).data
        assert isinstance(data, Outcomes)
        models = [model for model in data.models if model == STRONG] + [m for m in data.models if m != STRONG]
        means = [float(np.nanmean(data.scores[:, data.column(model)])) for model in models]
        assert len(data) == n
        assert means == pytest.approx([strong, weak], abs=0.0006)
