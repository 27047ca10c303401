import pytest

from turnout import registry
from turnout.errors import InvalidValueError, UnknownNameError
from turnout.evaluation.benchmarks.base import Benchmark, load_benchmark


@pytest.mark.parametrize("name", registry.names("benchmark"))
def test_every_registered_benchmark_declares_itself(name: str) -> None:
    benchmark = load_benchmark(name)
    assert benchmark.name == name
    assert benchmark.scale[0] < benchmark.scale[1]
    assert all((benchmark.title, benchmark.source, benchmark.revision, benchmark.licence, benchmark.units))


def test_a_typing_slip_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mt-bench'"):
        load_benchmark("mt_bench")


def test_a_plugin_that_is_no_benchmark_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda kind, name: object())
    with pytest.raises(InvalidValueError, match=r"must be a .*Benchmark"):
        load_benchmark("odd")


def test_right_or_wrong_is_printed_in_per_cent() -> None:
    assert load_benchmark("mmlu").in_per_cent
    assert not load_benchmark("mt-bench").in_per_cent
    assert isinstance(load_benchmark("gsm8k"), Benchmark)
