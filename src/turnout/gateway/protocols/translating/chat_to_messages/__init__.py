"""OpenAI's chat completions for a provider that speaks Anthropic's messages."""
