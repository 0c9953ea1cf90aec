"""Bundled executors, one file each."""
