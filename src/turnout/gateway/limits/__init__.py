"""Who asks, what they may spend, and the most that a request can cost."""
