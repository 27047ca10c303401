"""The gateway: carries decisions out behind an OpenAI-compatible address, and records them."""
