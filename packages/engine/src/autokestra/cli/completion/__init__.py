"""`workflow completion`: what the TAB key offers, and the scripts that ask for it. Never the value of a secret."""
