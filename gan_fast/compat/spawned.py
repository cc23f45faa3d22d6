"""Stands for a script in a process that the script spawned; run by multiprocessing, never imported."""

import runpy

from gan_fast.compat.scripts import prepare, settings_of_parent

settings = settings_of_parent()
prepare(settings, lambda what, option: None)  # the first process has said it
globals().update(runpy.run_path(settings.script, run_name=__name__))
