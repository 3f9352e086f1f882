"""Property tests on a machine that others use, too: how long it takes to draw an example says nothing of the rules."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("rules", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rules")
