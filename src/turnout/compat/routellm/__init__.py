"""RouteLLM's Python interface: the same arguments, calls, configuration and checkpoints.

Written from RouteLLM's documentation; no code of it is in here. docs/how-to/from-routellm.md is the guide.
"""

from turnout.compat.routellm.checkpoints import MODEL_NAMES, TRAINED_PAIR, load_router
from turnout.compat.routellm.configuration import GPT_4_AUGMENTED_CONFIG, read_config
from turnout.compat.routellm.controller import Controller, RoutingError

__all__ = [
    "GPT_4_AUGMENTED_CONFIG",
    "MODEL_NAMES",
    "TRAINED_PAIR",
    "Controller",
    "RoutingError",
    "load_router",
    "read_config",
]
