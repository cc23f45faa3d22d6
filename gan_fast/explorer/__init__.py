"""Looking inside a trained generator: the same panels in a browser (`app`) and in one offline HTML file (`page`)."""

from gan_fast.explorer.panels import Explorer, Panel, projection_panel

__all__ = ["Explorer", "Panel", "projection_panel"]
