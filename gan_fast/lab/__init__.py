"""A GAN of points in the plane, watched while it trains: on the engine, losses and penalties of every other GAN here."""

from gan_fast.lab.session import MIXTURES, Session, Settings, Snapshot

__all__ = ["MIXTURES", "Session", "Settings", "Snapshot"]
