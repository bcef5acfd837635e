"""`workflow completion`: what the TAB key offers, and the scripts that ask for it. No value of a secret is ever read."""
