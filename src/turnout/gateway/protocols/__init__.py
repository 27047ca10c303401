"""One file for each protocol that clients speak, and what carries it to a provider."""
