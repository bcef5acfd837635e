"""The workflow document: read, checked as a whole, and turned into immutable values. Nothing is run here."""
