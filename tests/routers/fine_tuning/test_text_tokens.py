from __future__ import annotations

import numpy as np
import pytest

from turnout.errors import InvalidValueError
from turnout.routers.fine_tuning.text_tokens import TextTokens, logits_by_length, pad

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def tokenizer_json():
    vocabulary = {
        word: i for i, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e", "[", "]", "CLS"])
    }
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(2)  # what a checkpoint's file says about lengths must not matter
    tokenizer.enable_padding(length=9)
    return tokenizer.to_str()


@pytest.mark.parametrize(("keep", "middle"), [("start", [3, 4, 5]), ("end", [5, 6, 7]), ("both", [3, 4, 7])])
def test_a_long_query_keeps_the_part_asked_for(tokenizer_json, keep, middle):
    tokens = TextTokens(tokenizer_json, max_tokens=5, keep=keep)
    assert tokens.ids(["a b c d e", "a", ""]) == [[1, *middle, 2], [1, 3, 2], [1, 2]]


def test_special_tokens_in_a_query_are_text(tokenizer_json):
    assert TextTokens(tokenizer_json, max_tokens=9).ids(["a [CLS]"]) == [[1, 3, 8, 10, 9, 2]]


def test_texts_around_the_query_are_never_cut(tokenizer_json):
    tokens = TextTokens(tokenizer_json, max_tokens=6, before="b", after="c d")
    assert tokens.ids(["a a a a a a"]) == [[1, 4, 3, 3, 5, 6]]  # no closing [SEP]: a causal model goes on from here


def test_special_tokens_in_our_own_text_are_special(tokenizer_json):
    tokens = TextTokens(tokenizer_json, max_tokens=9, before="[SEP] b", after="[SEP]")
    assert tokens.ids(["a"]) == [[1, 2, 4, 3, 2]]


def test_lone_surrogates_and_huge_texts_pass(tokenizer_json):
    tokens = TextTokens(tokenizer_json, max_tokens=4, keep="both")
    assert tokens.ids(["a " * 2_000_000 + "\ud800"]) == [[1, 3, 0, 2]]


def test_no_room_for_the_query(tokenizer_json):
    with pytest.raises(InvalidValueError, match="must be above 2 to leave room for the query, got 2"):
        TextTokens(tokenizer_json, max_tokens=2)


def test_an_unknown_part_to_keep(tokenizer_json):
    with pytest.raises(InvalidValueError, match="'start', 'end' or 'both', got 'middle'"):
        TextTokens(tokenizer_json, max_tokens=9, keep="middle")


def test_pad_marks_what_is_real():
    ids, mask = pad([[5, 6], [7]], pad_id=9)
    assert ids.tolist() == [[5, 6], [7, 9]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def test_logits_come_back_in_the_order_of_the_texts():
    sizes = []

    def logits(ids, mask):
        sizes.append(ids.shape)
        return np.stack([ids.sum(1), mask.sum(1)], axis=1)

    result = logits_by_length([[1, 1, 1], [2], [3, 3, 3], [4]], logits, pad_id=0, batch_size=2)
    assert result.tolist() == [[3, 3], [2, 1], [9, 3], [4, 1]]
    assert sizes == [(2, 1), (2, 3)]


@pytest.fixture(scope="module")
def joining_json():
    """A tokenizer with a token for the two letters a and b in a row."""
    vocabulary = {word: i for i, word in enumerate(["[UNK]", "<s>", "</s>", "a", "b", "c", "ab", "ca"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [("a", "b"), ("c", "a")], unk_token="[UNK]"))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer.to_str()


def test_a_joined_query_shares_tokens_with_the_text_beside_it_but_not_with_special_ones(joining_json):
    around = {"before": "b<s>c", "after": "b</s>c"}
    joined = TextTokens(joining_json, max_tokens=9, joined=True, **around)
    assert joined.ids(["a", "c"]) == [[4, 1, 5, 6, 2, 5], [4, 1, 5, 5, 4, 2, 5]]  # c·ab, c·c·b
    assert TextTokens(joining_json, max_tokens=9, **around).ids(["a"]) == [[4, 1, 5, 3, 4, 2, 5]]


def test_a_joined_query_that_has_to_be_cut_is_encoded_by_itself(joining_json):
    tokens = TextTokens(joining_json, max_tokens=8, joined=True, before="b<s>c", after="b</s>c")
    assert tokens.room == 2
    assert tokens.ids(["aaa"]) == [[4, 1, 5, 3, 3, 4, 2, 5]]


def test_special_tokens_in_a_joined_query_are_text(joining_json):
    tokens = TextTokens(joining_json, max_tokens=30, joined=True, before="<s>", after="</s>")
    assert tokens.ids(["</s>"])[0].count(2) == 1
