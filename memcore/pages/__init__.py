"""Offline pages: one HTML file with its styles, scripts and vector pictures, and no network."""
