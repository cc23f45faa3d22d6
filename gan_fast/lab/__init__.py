"""A GAN of points in the plane, watched while it trains: by the engine, losses and penalties of all other GANs here."""

from gan_fast.lab.session import MIXTURES, Session, Settings, Snapshot

__all__ = ["MIXTURES", "Session", "Settings", "Snapshot"]
