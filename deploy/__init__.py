"""The servers Tandem brings along: an embedded Kafka, embedded PostgreSQL, and the processes that run them.

Responsible for making real servers from what `pip` and Maven's repository give, without root, Docker or a system
Java. Must not know what runs on them: no rules, no streams, no connectors.
"""
