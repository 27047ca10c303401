import json

import numpy as np
from made_up_outcomes import FirstWord

from turnout.evaluation.golden import golden_replays, golden_splits
from turnout.evaluation.pair_table import PairTable
from turnout.evaluation.replay import Replay
from turnout.evaluation.report import json_report, text_report
from turnout.evaluation.runner import evaluate


def test_a_table_with_everything_beside_everything(table: PairTable) -> None:
    router = np.linspace(0, 1, len(table))
    evaluation = evaluate(
        table,
        {"mine": [Replay.of_all(router)], "flat": [Replay.of_all(np.zeros(len(table)))]},
        n_replicates=20,
    )
    text = text_report(evaluation)
    lines = text.splitlines()
    assert lines[0].startswith("Made up: 240 queries. Strong: gpt-4-1106-preview (")
    assert [line.split()[0] for line in lines[2:7]] == ["ROUTER", "mine", "flat", "(random)", "(oracle)"]
    assert lines[5].split()[1:4] == ["0.500", "50.0", "80.0"]  # known exactly: no interval
    assert f"{evaluation.results[0].apgr.value:.3f} [" in lines[3]
    assert "flat gives every query the same win rate: only a strong fraction of 0 or 1 can be reached." in text
    assert "RANDOM" in text
    assert "ALWAYS-STRONG" in text
    assert "the paper's average" in text
    assert "APGR of flat − mine" in text
    assert "-0.0 " not in text


def test_win_rates_that_are_missing_are_told(table: PairTable) -> None:
    rates = np.linspace(0, 1, len(table))
    rates[:7] = np.nan
    text = text_report(evaluate(table, {"holes": [Replay.of_all(rates)]}, n_replicates=5))
    assert "holes gave no win rate (NaN) to 7 queries: they went to strong." in text


def test_seeds_have_their_spread(table: PairTable) -> None:
    replays = golden_replays(lambda seed: FirstWord(seed=seed), table, golden_splits(table, 10, 3))
    text = text_report(evaluate(table, {"first-word": replays}, n_replicates=20))
    assert "for each of 3 seeds" in text
    assert "SD OVER SEEDS" in text


def test_json_holds_all_to_do_it_again(table: PairTable) -> None:
    evaluation = evaluate(table, {"mine": [Replay.of_all(np.linspace(0, 1, len(table)))]}, n_replicates=20, seed=3)
    report = json.loads(
        json.dumps(
            json_report([evaluation], protocol={"golden_labels": 5}, routers={"mine": {}}, command=["turnout"]),
            allow_nan=False,
        )
    )
    (written,) = report["evaluations"]
    assert written["data_sha256"] == table.sha256
    assert written["bootstrap"] == {"replicates": 20, "seed": 3}
    assert written["results"][0]["apgr"]["value"] == evaluation.results[0].apgr.value
    assert written["results"][0]["cpt"]["0.8"]["reachable"] == evaluation.results[0].cpt_reachable[0.8]
    assert written["oracle"]["apgr"]["value"] == evaluation.oracle.apgr.value
    assert {"turnout_version", "python_version", "numpy_version", "command", "protocol"} <= report.keys()
