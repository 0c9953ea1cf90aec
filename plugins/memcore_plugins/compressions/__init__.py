"""Bundled compression passes, one file each."""
