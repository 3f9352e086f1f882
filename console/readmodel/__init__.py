"""The read model: what the topics say about every record, in SQLite, so that questions are answered at once."""
