"""The mutation check: `python -m tests.mutants` plants faults in `rules/`, one at a time, and shows that something fails for each.

The faults are data, by the section of the semantics that they break (`entering`, `matching`, …); `planting` puts one into a copy of the tree,
`judging` runs what is to catch it, `page` writes down what did.
"""
