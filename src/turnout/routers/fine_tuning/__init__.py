"""What `bert` and `causal-llm` are built from: a transformer that is fine-tuned, kept and run. Most needs torch."""
