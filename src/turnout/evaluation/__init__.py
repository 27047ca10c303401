"""Replay a router over outcomes: what it would have cost, and what it would have scored."""
