"""Doctests of modules that need an extra are collected only where it is installed.

pytest would leave half of a module behind whose import failed, and a test that asks for it would find that half.
"""

from importlib.util import find_spec

NEEDS = {
    "torch": [
        "src/turnout/compat/routellm/released_causal_llm.py",
        "src/turnout/routers/bert.py",
        "src/turnout/routers/causal_llm.py",
        "src/turnout/routers/fine_tuning/fine_tune.py",
        "src/turnout/routers/fine_tuning/networks.py",
        "src/turnout/routers/fine_tuning/torch_extra.py",
        "src/turnout/routers/fine_tuning/training_checkpoint.py",
        "src/turnout/routers/fine_tuning/transformer_router.py",
    ],
    "litellm": ["src/turnout/compat/litellm.py"],
    "xllamacpp": ["src/turnout/demo/llama_server.py"],
}

collect_ignore = [path for package, paths in NEEDS.items() if find_spec(package) is None for path in paths]
