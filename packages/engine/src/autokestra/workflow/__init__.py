"""The workflow document: read, checked as a whole, and turned into immutable values. Nothing is run here.

`loader` reads a file, `document` gives each value its line and column, `model` has the values, `validate` finds all
that is wrong at once, `graph` what comes after what. No store is opened and no secret looked up: whether a name is
declared is known from the text.
"""
