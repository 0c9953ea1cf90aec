"""Bundled converters, one file each."""
