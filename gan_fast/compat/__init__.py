"""Faces: the ops under the names, parameter orders, defaults and meanings that other GAN code expects.

`gan_fast.compat.<dialect>` can be imported as it is; `install` offers it under the name that code imports it by.
"""

from gan_fast.compat.install import DIALECTS, NAMES, install, uninstall

__all__ = ["DIALECTS", "NAMES", "install", "uninstall"]
