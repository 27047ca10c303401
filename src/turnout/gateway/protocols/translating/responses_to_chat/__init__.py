"""OpenAI's responses for a provider that has only chat completions."""
