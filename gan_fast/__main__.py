"""python -m gan_fast: the gan-fast command."""

from gan_fast.cli import app

app()
