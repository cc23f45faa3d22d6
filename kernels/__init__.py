"""Triton kernels and their launchers: a function named like a primitive is its Triton backend."""
