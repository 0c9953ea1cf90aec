"""The torch operators of memcore: each file holds one family with its reference, checks and registration."""
