"""The real rules with the sinks muted: what a first sync, or edited rules, would do, without a write to any account or topic."""
