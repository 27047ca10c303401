"""torch and transformers, or the error that says how to install them; who needs them imports them from here."""

from turnout.errors import MissingExtraError

try:
    import torch
    import transformers
except ImportError as error:
    raise MissingExtraError(
        error.name or "torch", extra="torch", purpose="Fine-tuning ('bert', 'causal-llm')"
    ) from error

__all__ = ["torch", "transformers"]
