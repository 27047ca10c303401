"""The addresses that call no model: feedback, the list of models, the description."""
