"""What an operator is shown: metrics, a line a request, spans."""
