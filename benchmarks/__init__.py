"""Measurements against named peers in the same run; docs/BENCHMARKS.md says what each figure means. No test depends on them."""
