"""The demonstration: the real gateway between two models of this machine, so that one sees what routing does."""
