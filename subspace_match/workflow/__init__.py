"""What surrounds a job of the workflow: locks, records of provenance, publishing, pruning."""
