import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from turnout.data.questions import Answer, Question
from turnout.data.replies import CallName, Replies, Reply, with_answers
from turnout.errors import DataError, NotWritableError

NAME = CallName("q1", "big")
REPLY = Reply("Paris.\n“Oui”", "stop", 7, 3, 0.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replies.jsonl"


def test_what_is_stored_is_there_in_the_next_run(path: Path) -> None:
    with Replies(path) as replies:
        replies.add(NAME, "r1", REPLY)
        assert replies.get(NAME, "r1") == REPLY
        replies.add(CallName("q2", "big"), "r2", Reply(""), charged_usd=0.5)
        replies.add_failure(CallName("q3", "big"), "r3", "cut off", 0.125)
        assert replies.charged_usd == 0.875
    with Replies(path) as replies:
        assert (len(replies), replies.charged_usd, replies.dropped_bytes) == (2, 0.875, 0)
        assert replies.get(NAME, "r1") == REPLY
        assert replies.get(CallName("q2", "big"), "r2") == Reply("")
        assert replies.get(CallName("q3", "big"), "r3") is None
        assert replies.get(CallName("q1", "big", "verdict")) is None


def test_a_reply_to_other_words_is_an_error_not_an_answer(path: Path) -> None:
    with Replies(path) as replies:
        replies.add(NAME, "r1", REPLY)
        with pytest.raises(DataError, match="'big' about 'q1' .* in other words"):
            replies.get(NAME, "r2")
        assert replies.get(NAME) == REPLY


def test_every_place_where_a_kill_may_cut_the_last_line(path: Path) -> None:
    with Replies(path) as replies:
        replies.add(NAME, "r1", REPLY)
        replies.add(CallName("q2", "big"), "r2", REPLY)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in (*range(first, first + 9), *range(first + 9, len(whole) - 9, 11), *range(len(whole) - 9, len(whole))):
        path.write_bytes(whole[:cut])
        with Replies(path) as replies:
            complete = cut == len(whole) - 1  # all but the line's end
            assert len(replies) == (2 if complete else 1), cut
            assert replies.dropped_bytes == (0 if complete else cut - first)
            replies.add(CallName("q3", "big"), "r3", REPLY)
        with Replies(path) as replies:
            assert replies.get(CallName("q3", "big"), "r3") == REPLY
            assert replies.get(NAME, "r1") == REPLY


def test_zeros_that_a_power_cut_left_are_dropped(path: Path) -> None:
    with Replies(path) as replies:
        replies.add(NAME, "r1", REPLY)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 100)
    with Replies(path) as replies:
        assert (len(replies), replies.dropped_bytes) == (1, 100)
    assert path.read_bytes() == whole


@contextmanager
def room_for(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow larger."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_for_which_there_is_no_room_leaves_no_half_of_it(path: Path) -> None:
    with Replies(path) as replies:
        replies.add(NAME, "r1", REPLY)
        whole = path.read_bytes()
        with (
            room_for(len(whole) + 40),
            pytest.raises(NotWritableError, match=r"replies\.jsonl cannot be written: File too"),
        ):
            replies.add(CallName("q2", "big"), "r2", REPLY)
        assert (path.read_bytes(), replies.charged_usd) == (whole, 0.25)
        assert replies.get(CallName("q2", "big")) is None
        replies.add(CallName("q2", "big"), "r2", REPLY)
    with Replies(path) as replies:
        assert (len(replies), replies.dropped_bytes) == (2, 0)


@pytest.mark.parametrize(
    "content", ["Dear diary", '{"query": "q", "key": 1}', '{"query": "q"}\n', "[1]\n", '{"id": "a"}\n{"id": "b"\n']
)
def test_another_file_is_refused_and_left_as_it_is(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(DataError, match=r"replies.jsonl, line \d"):
        Replies(path)
    assert path.read_text() == content


def test_two_runs_cannot_write_to_one_file(path: Path) -> None:
    pytest.importorskip("fcntl")
    with Replies(path), pytest.raises(DataError, match="another run is writing"):
        Replies(path)
    Replies(path).close()


def test_a_packed_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be packed"):
        Replies(tmp_path / "r.jsonl.gz")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        Replies(tmp_path / "file" / "r.jsonl")


def test_stored_answers_join_their_questions(path: Path) -> None:
    with Replies(path) as replies:
        replies.add(NAME, "r1", REPLY)
        replies.add(CallName("q1", "judge", "verdict"), "r2", Reply("Verdict: 1"))
        replies.add_failure(CallName("q2", "big"), "r3", "cut off", 0.1)
    first, second = with_answers([Question("q1", "?", answers={"small": Answer("x")}), Question("q2", "?")], path)
    assert first.answers == {"small": Answer("x"), "big": Answer(REPLY.text, 0.25, 7, 3)}
    assert second.answers == {}


def test_answers_are_read_from_a_file_whose_run_was_killed(path: Path) -> None:
    with Replies(path) as replies:
        replies.add(NAME, "r1", REPLY)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-20])
    (question,) = with_answers([Question("q1", "?")], path)
    assert question.answers == {"big": Answer(REPLY.text, 0.25, 7, 3)}
    path.write_bytes(whole[:-1])
    (question,) = with_answers([Question("q1", "?")], path)
    assert set(question.answers) == {"big"}
    path.write_bytes(b"\xef\xbb\xbf" + whole)  # saved by an editor on Windows
    (question,) = with_answers([Question("q1", "?")], path)
    assert set(question.answers) == {"big"}
    path.write_text("Dear diary")
    with pytest.raises(DataError, match=r"replies\.jsonl, line 1: not a replies file"):
        list(with_answers([], path))


def test_a_line_holds_what_a_person_wants_to_read(path: Path) -> None:
    with Replies(path) as replies:
        replies.add(NAME, "r1", REPLY)
    assert json.loads(path.read_text()) == {
        "id": "q1", "model": "big", "part": "answer", "request": "r1", "reply": REPLY.text, "finish_reason": "stop",
        "input_tokens": 7, "output_tokens": 3, "cost_usd": 0.25,
    }  # fmt: skip
