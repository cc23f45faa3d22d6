import pytest
from typer.testing import CliRunner

from gan_fast.cli import app


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(a) for a in arguments])
