"""The explorer in a browser: gradio on 127.0.0.1, asking nothing of any other machine."""

from __future__ import annotations

import base64
import html
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gan_fast.data import to_uint8
from gan_fast.explorer.panels import Control, Explorer, Panel, Slider
from gan_fast.projection import SPACES, project
from gan_fast.training import sample

if TYPE_CHECKING:
    import gradio

HOST = "127.0.0.1"
PIXELS = 64  # up to this side images are enlarged pixel by pixel
FILM_FRAMES, FILM_MS = 40, 80
STYLE = """
.gf-images { display: flex; flex-wrap: wrap; gap: 1.25rem; align-content: flex-start; }
.gf-images figure { margin: 0; flex: 1 1 7rem; max-width: 20rem; }
.gf-images figure:last-child { flex-grow: 2; flex-basis: 13rem; }
.gf-images img { display: block; width: 100%; border-radius: 0.4rem; background: #000; }
.gf-images img.pixels { image-rendering: pixelated; }
.gf-images figcaption { margin-top: 0.35rem; opacity: 0.75; }
.gf-images figure:last-child figcaption { opacity: 1; font-weight: 600; }
"""


def make_app(explorer: Explorer, title: str, subtitle: str) -> gradio.Blocks:
    """The page: a tab a panel, and one for the projection of an uploaded image.

    Raises:
        ValueError: gradio, an extra, is not installed.
    """
    gr = _import_gradio()
    with gr.Blocks(title=title) as app:
        gr.Markdown(f"# {title}\n{subtitle}")
        with gr.Tabs():
            for panel in explorer.panels:
                with gr.Tab(panel.title):
                    _add_panel(gr, panel)
            with gr.Tab("Projection"):
                _add_projection(gr, explorer)
    return app
