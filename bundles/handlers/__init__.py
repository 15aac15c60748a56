"""What the job types of bundles do: create and verify."""
