"""Finds values in what a program prints, in whatever form it prints them, and puts `***SECRET***` in their place.

`masker` knows the values, `encodings` their forms, `index` and `finder` where they are, `stream` what may be let go of
a text that arrives in pieces; `logs`, `stdio`, `structlog` and `pytest_plugin` are hooks for programs. Nothing here
reads a store or a key, and nothing guesses: what was not registered is not masked.
"""
