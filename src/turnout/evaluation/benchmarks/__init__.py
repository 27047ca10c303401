"""Benchmarks: declarations of who asked what, under which licence, and where the outcomes lie on disk."""
