import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import ArtifactError
from turnout.routers.features.templates import Template

QUESTIONS = [
    f"How far is {town} from the sea?"
    for town in ["Aachen", "Bonn", "Cologne", "Dresden", "Essen", "Fulda", "Gera", "Hamm", "Jena", "Kiel", "Lahr"]
]
EXAMPLES = "Answer as in these examples.\nQ: How far is Rome from Paris?\nA: 1,100 km\n\n"


def test_examples_before_the_question_are_cut_off() -> None:
    template = Template.learned_from([EXAMPLES + question for question in QUESTIONS])
    assert template.unwrap(EXAMPLES + "Why is the sky blue?") == "Why is the sky blue?"


def test_what_varies_is_kept_wherever_it_stands() -> None:
    wrapped = [
        f"System: be kind.\nPassage: {number} ships\n{question}\nAnswer:" for number, question in enumerate(QUESTIONS)
    ]
    assert Template.learned_from(wrapped).unwrap(wrapped[3]) == "3 ships\nHow far is Dresden"


def test_words_around_the_question_on_one_line_are_cut_off() -> None:
    wrap = "Below you find one question that a user asked: {} Please think it over and answer in one word."
    towns = [question.split()[3] for question in QUESTIONS]
    template = Template.learned_from([wrap.format(town) for town in towns])
    assert template.unwrap(wrap.format("Ulm or Trier?")) == "Ulm or Trier?"


def test_a_query_that_is_all_template_is_left_whole() -> None:
    template = Template.learned_from([EXAMPLES + question for question in QUESTIONS])
    assert template.unwrap(EXAMPLES) == EXAMPLES


def test_a_short_start_is_a_template_only_beside_lines_and_if_nearly_all_share_it() -> None:
    others = [f"Name lake number {number}." for number in range(3)]
    assert not Template.learned_from(QUESTIONS + others)
    assert not Template.learned_from([f"Q: {query}" for query in QUESTIONS + others])
    template = Template.learned_from([f"Please answer.\nQ: {query}" for query in QUESTIONS + others])
    assert template.unwrap("Please answer.\nQ: Why?") == "Why?"
    assert template.unwrap("Q: Why?") == "Q: Why?"


def test_few_queries_teach_no_template() -> None:
    assert not Template.learned_from([EXAMPLES + question for question in QUESTIONS[:9]])
    assert not Template.learned_from([EXAMPLES + question for question in QUESTIONS[:9]] * 2)
    assert Template.learned_from([EXAMPLES + question for question in QUESTIONS[:10]])


def test_what_half_of_the_queries_share_is_the_templates() -> None:
    bare = [f"Name lake number {number}." for number in range(6)]
    line = [f"Be kind.\n{number} boats" for number in range(6)]
    assert Template.learned_from(line + bare).lines == {"Be kind."}
    assert not Template.learned_from(line[:5] + bare)
    start = [f"a b c d e f g h {number} x" for number in range(6)]
    assert Template.learned_from(start + bare).start == tuple("abcdefgh")
    assert not Template.learned_from(start[:5] + bare)


def test_a_start_of_eight_words_is_a_template_and_one_of_seven_is_not() -> None:
    assert Template.learned_from([f"a b c d e f g h {number} x" for number in range(10)]).start == tuple("abcdefgh")
    assert not Template.learned_from([f"a b c d e f g {number} x" for number in range(10)])
    assert Template.learned_from([f"x {number} a b c d e f g h" for number in range(10)]).end == tuple("abcdefgh")


def test_bare_queries_pass_unchanged() -> None:
    template = Template.learned_from([EXAMPLES + question for question in QUESTIONS])
    bare = "Why is the sky blue?"
    assert template.unwrap(bare) == bare


@given(st.text(max_size=200))
def test_something_is_always_left(query: str) -> None:
    template = Template.learned_from([EXAMPLES + question for question in QUESTIONS])
    assert template.unwrap(query) or not query


def test_a_template_survives_json_and_damage_is_noticed() -> None:
    template = Template.learned_from([EXAMPLES + question for question in QUESTIONS])
    assert Template.from_json(template.to_json()) == template
    with pytest.raises(ArtifactError, match="Train it anew"):
        Template.from_json({"lines": 3})
