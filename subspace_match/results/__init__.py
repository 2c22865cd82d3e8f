"""From the files of all jobs to tables."""
