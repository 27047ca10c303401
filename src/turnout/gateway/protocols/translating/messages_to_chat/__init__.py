"""Anthropic's messages for a provider that speaks OpenAI's chat completions."""
