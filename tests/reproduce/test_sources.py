from pathlib import Path

import pytest
from made_up_data import write_lines

from turnout.data.remote_catalogue import remote_set
from turnout.errors import DataError
from turnout.reproduce.sources import CANDIDATES, D_ARENA, D_JUDGE, MANY_MODELS, PAPERS_PAIR, find, release_in

HEADER = "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"


def test_stand_ins_are_read_and_named_as_such(data: Path) -> None:
    found = find(D_ARENA, [data])
    assert not found.candidate.is_papers_own
    assert len(found.battles) == 200
    assert "arena_human_2023" in found.to_json()["read"]


def test_the_papers_own_data_goes_first_wherever_it_is(data: Path, tmp_path: Path) -> None:
    own = tmp_path / "arena-55k"
    own.mkdir()
    (own / "train.csv").write_text(HEADER + '1,a,b,"[""Which river is the longest?""]",x,y,1,0,0\n')
    found = find(D_ARENA, [tmp_path, data])
    assert found.candidate.is_papers_own
    assert list(found.battles.queries) == ["Which river is the longest?"]
    assert found.candidate.strong_tiers == (0, 1)
    assert found.candidate.weak_tiers == (2,)


def test_the_papers_own_sets_are_those_that_can_be_pulled() -> None:
    for candidates in CANDIDATES.values():
        for candidate in candidates:
            if candidate.is_papers_own:
                (file,) = candidate.files
                pulled = remote_set(file.pattern.partition("/")[0])
                names = [one.local_name for part in pulled.repositories for one in part.files]
                assert [name for name in names if Path(pulled.name, name).match(file.pattern)] == names
                assert file.importer in pulled.next_step


def test_released_outcomes_are_found_where_they_were_pulled_to(tmp_path: Path) -> None:
    pulled, given = tmp_path / "pulled", tmp_path / "given"
    (pulled / "routellm-outcomes").mkdir(parents=True)
    given.mkdir()
    assert release_in([pulled, given]) == pulled / "routellm-outcomes"
    (given / "routellm_release").mkdir()
    assert release_in([pulled, given]) == given
    assert release_in([given / "elsewhere"]) == given / "elsewhere"


def test_every_data_set_says_why_it_is_read() -> None:
    for candidates in CANDIDATES.values():
        assert all(candidate.why.endswith(".") and candidate.title for candidate in candidates)


def test_of_a_judges_scores_the_higher_one_wins(data: Path) -> None:
    battles = find(D_JUDGE, [data]).battles
    bench = battles.take([row for row, source in enumerate(battles.source) if source == "arena-bench"])
    assert set(bench.models) == {PAPERS_PAIR.strong, PAPERS_PAIR.weak}
    assert {("hello" in query, share) for query, share in zip(bench.queries, bench.share_a.tolist(), strict=True)} == {
        (True, 0.5),
        (False, 1.0),
    }


def test_models_have_one_name_whatever_the_file(data: Path) -> None:
    assert {PAPERS_PAIR.strong, PAPERS_PAIR.weak} <= set(find(MANY_MODELS, [data]).battles.models)


def test_what_is_absent_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"D_arena: expected arena-55k/.*csv or arena_human_2023"):
        find(D_ARENA, [tmp_path])


def test_two_files_where_one_is_expected_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_lines(tmp_path / "arena_human_2023" / f"{name}.jsonl.gz", [])
    with pytest.raises(DataError, match="holds nothing for D_arena"):
        find(D_ARENA, [tmp_path])
