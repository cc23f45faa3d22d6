"""What other people's code, networks and checkpoints need to meet gan_fast.

Dialects are the ops under the names, parameter orders, defaults and meanings that code expects. Their modules here,
`nvlabs` and so on, can be imported as they are; `install` offers them under the names that code imports them by.
"""

from gan_fast.compat.install import DIALECTS, NAMES, install, uninstall

__all__ = ["DIALECTS", "NAMES", "install", "uninstall"]
