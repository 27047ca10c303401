"""Turnout learns from votes which language model each query should go to, proves what that saves, and does it live.

>>> from turnout import ModelPair, Policy
>>> Policy(ModelPair("gpt-4", "mixtral"), threshold=0.5).decide([0.7])[0].model
'gpt-4'
"""

from turnout._version import __version__
from turnout.calibration import Calibration, OperatingPoint, calibrate
from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes
from turnout.errors import TurnoutError
from turnout.policy import Decision, Policy
from turnout.route import Route
from turnout.routers.base import Router, predict_for_pair
from turnout.types import Encoder, ModelPair

__all__ = [
    "Battles",
    "Calibration",
    "Decision",
    "Encoder",
    "ModelPair",
    "OperatingPoint",
    "Outcomes",
    "Policy",
    "Route",
    "Router",
    "TurnoutError",
    "__version__",
    "calibrate",
    "predict_for_pair",
]
