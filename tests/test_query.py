from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.query import (
    MAX_QUERY_CHARACTERS,
    MAX_WEIGHTED_TURNS,
    last_turns,
    query_by,
    query_of,
    texts_to_score,
    weighted_mean,
)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_user_turns_count_oldest_first_and_nobody_elses() -> None:
    messages = [
        {"role": "system", "content": "S"},
        user("one"),
        {"role": "assistant", "content": "A"},
        {"role": "tool", "tool_call_id": "t", "content": "T"},
        user("two"),
    ]
    assert query_of(messages) == "one\n\ntwo"


def test_a_tool_loop_does_not_change_the_query() -> None:
    before = [user("one"), {"role": "assistant", "content": None, "tool_calls": []}]
    after = [*before, {"role": "tool", "tool_call_id": "t", "content": "a result"}]
    assert query_of(before) == query_of(after) == "one"


def test_of_list_content_the_text_parts_count() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "here"}]
    assert query_of([user(parts)]) == "look\nhere"


def test_no_user_text_is_the_empty_query() -> None:
    for content in (None, "", "  ", [], [{"type": "image_url"}], 17, {"text": "x"}, [{"type": "text", "text": 3}]):
        assert query_of([user(content)]) == ""
    assert query_of([{"role": "system", "content": "S"}]) == ""


def test_earlier_turns_come_along_only_whole() -> None:
    messages = [user("a" * 10), user("b" * 10), user("c" * 10)]
    assert query_of(messages, max_characters=34) == "a" * 10 + "\n\n" + "b" * 10 + "\n\n" + "c" * 10
    assert query_of(messages, max_characters=33) == "b" * 10 + "\n\n" + "c" * 10
    assert query_of(messages, max_characters=22) == "b" * 10 + "\n\n" + "c" * 10
    assert query_of(messages, max_characters=21) == "c" * 10
    assert query_of(messages, max_characters=12) == "c" * 10


def test_a_long_last_turn_keeps_its_beginning_and_its_end() -> None:
    messages = [user("before"), user("begin" + "x" * 100 + "end")]
    assert query_of(messages, max_characters=23) == "begin" + "x" * 5 + "\n…\n" + "x" * 7 + "end"
    assert query_of([user("x" * 23)], max_characters=23) == "x" * 23


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["role", "content", "x"]),
            st.sampled_from(["user", "system", None, 3]) | st.text() | st.lists(st.none() | st.text()),
        )
    )
)
def test_any_messages_give_a_bounded_query(messages: list[dict[str, Any]]) -> None:
    assert len(query_of(messages)) <= MAX_QUERY_CHARACTERS


def test_boilerplate_is_left_out_unless_there_is_nothing_else() -> None:
    reminder = "<system-reminder>\nThe list is empty.\n</system-reminder>"
    assert query_of([user("one"), user(f"{reminder}\ntwo"), user(reminder)]) == "one\n\ntwo"
    assert query_of([user(reminder)]) == reminder
    both = [user(f"{reminder}\ntwo")]
    assert query_of(both, strip=False) == query_by("last", both, strip=False) == f"{reminder}\ntwo"
    assert query_by("last", both) == query_by("conversation", both) == "two"
    assert texts_to_score("weighted", both) == last_turns(both, 1) == ["two"]


def test_the_last_turns_come_one_by_one() -> None:
    messages = [user("one"), {"role": "assistant", "content": "A"}, user(""), user("two"), user("three")]
    assert last_turns(messages, 2) == ["three", "two"]
    assert last_turns(messages, 9) == ["three", "two", "one"]


def test_a_turn_weighs_half_as_much_as_the_one_after_it() -> None:
    assert weighted_mean([0.8]) == 0.8
    assert weighted_mean([0.7, 0.0, 0.0]) == pytest.approx(0.4)


def test_the_policy_says_what_is_scored_and_what_is_the_query() -> None:
    messages = [user(str(turn)) for turn in range(9)]
    assert texts_to_score("last", messages) == [query_by("last", messages)] == ["8"]
    assert texts_to_score("conversation", messages) == [query_by("conversation", messages)] == [query_of(messages)]
    assert texts_to_score("weighted", messages) == ["8", "7", "6", "5", "4", "3"]
    assert len(texts_to_score("weighted", messages)) == MAX_WEIGHTED_TURNS
    assert query_by("weighted", messages) == query_of(messages)


@pytest.mark.parametrize("policy", ["last", "conversation", "weighted"])
def test_without_user_text_nothing_is_scored(policy: Any) -> None:
    assert texts_to_score(policy, [{"role": "system", "content": "S"}, user([])]) == []
    assert query_by(policy, [user("")]) == ""
