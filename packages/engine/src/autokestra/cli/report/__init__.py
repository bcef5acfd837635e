"""The report of an execution: one HTML page that needs nothing else, from rows that are masked already.

`material` reads the rows, `page` puts the parts together, `text` escapes.
Nothing here reads an output, a store or a key.
"""
