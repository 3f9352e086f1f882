"""All mutants, by section."""

from __future__ import annotations

from tests.mutants import conversions, editing, entering, initial, lives, matching, merges, references, statuses, values
from tests.mutants.mutant import Mutant

ALL: tuple[Mutant, ...] = tuple(
    sorted(
        (
            *entering.MUTANTS,
            *matching.MUTANTS,
            *initial.MUTANTS,
            *values.MUTANTS,
            *conversions.MUTANTS,
            *references.MUTANTS,
            *lives.MUTANTS,
            *merges.MUTANTS,
            *editing.MUTANTS,
            *statuses.MUTANTS,
        ),
        key=lambda one: one.section,
    )
)
NONE_LEFT = (4, 6)  # the sections of which none may survive
LEAST, LEAST_OF_THOSE = 60, 12
SHARE = 0.9  # of all must be caught
