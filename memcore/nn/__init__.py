"""Memristive layers: ordinary modules whose product is computed by crossbars."""

from memcore.nn.layers import Conv, CrossbarLayer, Linear

__all__ = ["Conv", "CrossbarLayer", "Linear"]
