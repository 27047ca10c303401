"""What clients are told of a decision that nothing was called for."""

from __future__ import annotations

from typing import Any

from turnout.gateway.limits.worst_case import worst_case
from turnout.gateway.steps.account import Account


def decision_object(account: Account) -> dict[str, Any]:
    """A decision for clients, with the most that either model would be thought to read, write and cost."""
    choice, decision = account.choice, account.choice.decision
    models = [model for model in (choice.strong, choice.weak) if model is not None] or [choice.model]
    worst = {model.name: worst_case(account.request, model.config) for model in models}
    return {
        "object": "turnout.decision",
        "decision_id": choice.id,
        "route": choice.asked_for,
        "model": choice.model.name,
        "side": decision.side if decision else None,
        "win_rate": decision.win_rate if decision and decision.win_rate == decision.win_rate else None,
        "threshold": decision.threshold if decision else None,
        "reason": choice.reason,
        "worst_case": {
            model.name: {
                "input_tokens": worst[model.name].input_tokens,
                "output_tokens": worst[model.name].output_tokens,
                "cost_usd": worst[model.name].usd if model.config.price else None,
            }
            for model in models
        },
    }
