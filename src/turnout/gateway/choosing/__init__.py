"""Which model a request goes to: what it needs, its win rate, and what speaks for staying."""
