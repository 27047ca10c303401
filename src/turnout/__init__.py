"""Turnout learns from votes which language model each query should go to."""

__version__ = "0.1.0"
