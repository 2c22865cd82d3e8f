"""What surrounds a job's work: locks, log, provenance records, publishing, pruning."""
