"""What a sync means: the pure core of Tandem. It imports nothing else of ours, and knows no Kafka, no clock, no I/O."""
