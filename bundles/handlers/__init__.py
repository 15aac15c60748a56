"""The job handlers of bundles: create and verify."""
