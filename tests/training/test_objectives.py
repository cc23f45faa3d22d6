"""Objectives from files: what is loaded, what is said of it, and what a run that is resumed needs."""

import pytest
import torch

from gan_fast.losses import OBJECTIVES
from gan_fast.training import Trainer
from gan_fast.training.objectives import load_objective

TEXT = """
from gan_fast.losses import OBJECTIVES, Objective

mine = Objective(OBJECTIVES["logistic"].generator, OBJECTIVES["logistic"].discriminator)
function = print
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_loss.py"
    path.write_text(TEXT)
    return path


def test_a_run_with_an_objective_of_ones_own(tiny, tmp_path, file):
    """It equals that with the same losses by their name; resuming takes the file as it was."""
    name, mine = load_objective(f"{file}:mine")
    assert name.startswith("my_loss.py:mine@")
    run = tmp_path / "run"
    trainer = Trainer(tiny(objective=name), run, own_objective=mine)
    trainer.run(should_stop=lambda: trainer.step == 2)
    by_name = Trainer(tiny(), tmp_path / "by name")
    by_name.run(should_stop=lambda: by_name.step == 2)
    for a, b in zip(trainer.engine.generator.parameters(), by_name.engine.generator.parameters(), strict=True):
        assert torch.equal(a, b)

    with pytest.raises(ValueError, match=r"checkpoints never bring: --objective my_loss\.py:mine$"):
        Trainer.resume(run)
    file.write_text(TEXT + "# changed")
    name, mine = load_objective(f"{file}:mine")
    with pytest.raises(ValueError, match=r"my_loss\.py:mine@.* has changed since the run began"):
        Trainer.resume(run, own_objective=mine, objective=name)
    file.write_text(TEXT)
    name, mine = load_objective(f"{file}:mine")
    assert Trainer.resume(run, own_objective=mine, objective=name).step == 2
    with pytest.raises(ValueError, match="objective: a resumed run keeps"):
        Trainer.resume(run, own_objective=mine, objective="hinge")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (TEXT, "function", r"my_loss.py must define function = .*; its function is of <class 'builtin"),
        (TEXT, "absent", "it has no absent"),
        (TEXT, "", "must define NAME"),
        ("x = 1\nx +", "x", "my_loss.py, line 2: SyntaxError"),
        ("x = 1\n\nx.y", "x", "my_loss.py, line 3: AttributeError"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(file, text, name, said):
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        load_objective(f"{file}:{name}")


def test_names_that_nothing_stands_for(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"cannot read absent\.py: No such file"):
        load_objective("absent.py:mine")
    with pytest.raises(ValueError, match=f"got 'my_loss.py:mine', takes {', '.join(OBJECTIVES)}, or --objective FILE"):
        Trainer(tiny(objective="my_loss.py:mine"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
