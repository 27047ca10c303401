"""What every request for a model goes through, one step after the other; `pipeline` is their order."""
