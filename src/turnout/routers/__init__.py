"""Routers learn from battles to estimate a win rate for a query. They estimate; they decide nothing."""

from turnout.routers.base import Router, predict_for_pair

__all__ = ["Router", "predict_for_pair"]
