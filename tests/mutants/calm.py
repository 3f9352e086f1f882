"""A plugin of pytest for the runs that are to catch a mutant: the examples of Hypothesis are the same each time, and none fails because the machine is busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("mutants", deadline=None, database=None, derandomize=True)
settings.load_profile("mutants")
