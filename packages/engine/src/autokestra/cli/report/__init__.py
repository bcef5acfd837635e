"""The report of an execution: one HTML page that needs nothing else, from rows that are masked already."""
