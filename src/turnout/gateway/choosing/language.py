"""Which languages a text may be in, told by its letters and its commonest words; for models that know only some.

It has to be sure rather than clever: a text that it cannot tell may be in any language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_EXAMINED_CHARACTERS = 1_000

_LEAST_LETTERS = 12
_LEAST_WORDS = 3

_SCRIPTS: Mapping[str, frozenset[str]] = {
    "[\u0400-\u052f]": frozenset({"be", "bg", "kk", "ky", "mk", "mn", "ru", "sr", "tg", "uk"}),
    "[\u0370-\u03ff]": frozenset({"el"}),
    "[\u0590-\u05ff]": frozenset({"he", "yi"}),
    "[\u0600-\u06ff]": frozenset({"ar", "fa", "ps", "ug", "ur"}),
    "[\u0900-\u097f]": frozenset({"hi", "mr", "ne", "sa"}),
    "[\u0980-\u09ff]": frozenset({"as", "bn"}),
    "[\u0b80-\u0bff]": frozenset({"ta"}),
    "[\u0e00-\u0e7f]": frozenset({"th"}),
    "[\u10a0-\u10ff]": frozenset({"ka"}),
    "[\uac00-\ud7af]": frozenset({"ko"}),
    "[\u3040-\u30ff]": frozenset({"ja"}),
    "[\u4e00-\u9fff]": frozenset({"ja", "zh"}),
}
_COUNTED = [(re.compile(pattern), languages) for pattern, languages in _SCRIPTS.items()]
_KANA = frozenset({"ja"})

_FUNCTION_WORDS = {
    "de": "der die das und ist nicht ein eine ich mit wie den von zu auf für warum bitte kann wird",
    "en": "the and is of to in that it for what how you with this are why please can does from",
    "es": "el los las y es de que una por con para cómo qué del está como más puede favor son",
    "fr": "le les et est de que une pour dans des je vous qui comment pourquoi avec sur du ce pas",
    "it": "il gli e di che una per con come perché della sono non mi del nel questo è le più",
    "nl": "de het een en van is dat niet ik met voor hoe op te zijn waarom wat kan deze aan",
    "pl": "i w nie na jest że się do jak co to dlaczego proszę z czy o dla jestem ten są",
    "pt": "o os as e de que uma para com como não por em do da você é são mais qual",
    "sv": "och det att en ett är som inte jag på för med hur av den varför vad kan till om",
    "tr": "ve bir bu için ile ne nasıl mi de da çok gibi daha olarak neden var olan kadar ama en",
}
_WORDS: dict[str, tuple[str, ...]] = {}
for _language, _words in _FUNCTION_WORDS.items():
    for _word in _words.split():
        _WORDS[_word] = (*_WORDS.get(_word, ()), _language)

RECOGNISED = frozenset(_FUNCTION_WORDS).union(*_SCRIPTS.values())
"""ISO 639-1 codes of the languages that can be told, some of them only as one of several that share a script."""


def possible_languages(text: str) -> frozenset[str] | None:
    """The languages (ISO 639-1) that a text may be in; None where it might be any.

    >>> possible_languages("Wie kann ich das mit einer Schleife lösen, und warum ist das nicht schneller?")
    frozenset({'de'})
    >>> possible_languages("x = 1") is None
    True
    """
    text = text[:MAX_EXAMINED_CHARACTERS].lower()
    letters = sum(map(str.isalpha, text))
    if letters < 2:
        return None
    if not text.isascii():
        by_script = [(len(pattern.findall(text)), languages) for pattern, languages in _COUNTED]
        most, languages = max(by_script, key=lambda found: found[0])
        if 2 * most > letters:
            kana = next(count for count, found in by_script if found == _KANA)
            # Chinese has no kana; a few of them among many ideographs are Japanese.
            return _KANA if "ja" in languages and kana else languages
        if 10 * most > letters:
            return None
    if letters < _LEAST_LETTERS:
        return None
    counts: dict[str, int] = {}
    for word in re.findall(r"[^\W\d_]+", text):
        for language in _WORDS.get(word, ()):
            counts[language] = counts.get(language, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    if not ranked or ranked[0][1] < _LEAST_WORDS or (len(ranked) > 1 and 2 * ranked[1][1] > ranked[0][1]):
        return None
    return frozenset({ranked[0][0]})
