"""Benchmarks: each prints ratios against a yardstick that runs in the same minute, never a bare time."""
