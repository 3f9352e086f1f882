"""The Faust app: the pipeline's topics, its state and its agents. What a sync means is decided in `rules/`."""
