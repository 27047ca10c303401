"""A router's folder, made in a moment."""

from __future__ import annotations

from pathlib import Path

from turnout import Battles, Calibration, ModelPair
from turnout.routers.baselines import RandomRouter


def save_random_router(folder: Path, pair: ModelPair) -> Path:
    """A fitted router of the pair, calibrated on the numbers below 100; returns its folder."""
    router = RandomRouter().fit(Battles.from_columns(["q"], pair.strong, pair.weak, [1.0], pair=pair))
    rates = router.predict_win_rate([str(n) for n in range(100)])
    router.save(folder, calibration=Calibration.from_win_rates(rates, data="numbers").to_json())
    return folder
