"""One file for each source that battles or outcomes come from."""
