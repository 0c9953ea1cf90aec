"""Bundled programmers, one file each."""
