"""Every registered router passes the public contract."""

from __future__ import annotations

import importlib.util
import inspect

import pytest

from turnout import registry
from turnout.encoders.hashing import HashingEncoder
from turnout.errors import MissingExtraError
from turnout.routers.base import Router
from turnout.testing import check_fitted_router, check_router

FINE_TUNED = {"bert", "bert-onnx", "causal-llm"}
SMALL = {"n_steps": 4, "batch_size": 8, "evaluate_every": 2, "device": "cpu"}
ROUNDED = 1e-6  # matrix products of a network depend on the batch's shape


def is_written(name: str) -> bool:
    (entry,) = [entry for entry in registry._entries("router").values() if entry.name == name]
    return importlib.util.find_spec(entry.module) is not None


def make(name: str) -> Router:
    router_class: type[Router] = registry.load("router", name)
    takes_encoder = "encoder" in inspect.signature(router_class).parameters
    return router_class(encoder=HashingEncoder(dim=32)) if takes_encoder else router_class()


@pytest.mark.parametrize("name", sorted({*registry.names("router")} - FINE_TUNED))
def test_a_router_keeps_every_law(name: str) -> None:
    if not is_written(name):
        pytest.skip(f"'{name}' is registered, but not written yet")
    check_router(make(name))


def test_bert_keeps_every_law(tiny_bert: str) -> None:
    bert = pytest.importorskip("turnout.routers.bert", exc_type=MissingExtraError)
    check_router(bert.Bert(tiny_bert, max_tokens=32, **SMALL), tolerance=ROUNDED)


def test_causal_llm_keeps_every_law(tiny_llama: str) -> None:
    pytest.importorskip("peft")
    causal_llm = pytest.importorskip("turnout.routers.causal_llm", exc_type=MissingExtraError)
    check_router(causal_llm.CausalLLM(tiny_llama, max_tokens=128, **SMALL), tolerance=ROUNDED)


@pytest.mark.slow
def test_bert_onnx_keeps_the_laws_of_fitted_routers(tiny_bert: str, easy_battles) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    bert = pytest.importorskip("turnout.routers.bert", exc_type=MissingExtraError)
    exported = bert.Bert(tiny_bert, max_tokens=32, **SMALL).fit(easy_battles).to_onnx()
    check_fitted_router(exported, queries=easy_battles.queries, tolerance=ROUNDED)
