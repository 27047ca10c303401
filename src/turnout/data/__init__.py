"""Votes, judgements and benchmark outcomes from many sources become battles and outcomes."""

from turnout.data.battles import Battles
from turnout.data.outcomes import Outcomes

__all__ = ["Battles", "Outcomes"]
