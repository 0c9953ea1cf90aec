"""The torch operators of memcore, one family with its reference and its checks in each file."""
