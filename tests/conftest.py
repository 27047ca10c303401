"""Settings for all tests."""

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, not wrong.
settings.register_profile("turnout", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("turnout")

TESTS = Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail where a module of tests cannot be imported: the option for doctests of optional parts would only skip it."""
    report = yield
    if report.skipped and "unable to import module" in str(report.longrepr) and TESTS in collector.path.parents:
        report.outcome = "failed"
    return report
