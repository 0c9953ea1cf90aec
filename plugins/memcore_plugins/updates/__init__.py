"""Bundled update rules, one file each."""
