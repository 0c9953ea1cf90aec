"""Bundled mappers, one file each."""
