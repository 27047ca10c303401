from __future__ import annotations

import pytest

from turnout.gateway.choosing.language import possible_languages


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "What is the difference between a list and a tuple, and why does it matter for the speed of this?"),
        ("de", "Bitte erkläre mir, warum das nicht so ist und wie ich den Fehler finden kann."),
        ("fr", "Est-ce que vous pouvez expliquer comment la fonction trie les nombres dans une liste ?"),
        ("es", "¿Cómo puedo ordenar una lista de números con este método para que sea más rápido?"),
        ("it", "Come posso ordinare una lista di numeri con il metodo più veloce che non usa memoria?"),
        ("pt", "Como posso ordenar uma lista de números com o método mais rápido, e qual é a diferença?"),
        ("pl", "Dlaczego to nie działa i jak to naprawić, żeby się nie zawieszało? Co jest nie tak?"),
        ("ko", "이 함수가 왜 느린지 설명해 주세요."),
        ("ja", "この関数はなぜ遅いのですか。"),
        ("el", "Γιατί είναι αργή αυτή η συνάρτηση;"),
        ("ru", "Почему эта функция такая медленная?"),
        ("zh", "为什么这个函数这么慢?请解释一下。"),
    ],
)
def test_a_clear_text_is_told(language: str, text: str) -> None:
    found = possible_languages(text)
    assert found is not None
    assert language in found
    assert not found & ({"en", "de", "ko", "ja", "ru", "zh"} - {language} - ({"ja"} if language == "zh" else set()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "def f(x): return x + 1",
        "Paris?",
        "SELECT a, b FROM t WHERE c = 3",
        "Translate into Korean: 이것",
        "La La Land",
    ],
)
def test_what_is_not_clear_may_be_any_language(text: str) -> None:
    assert possible_languages(text) is None
