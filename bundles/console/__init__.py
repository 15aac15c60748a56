"""The pages about bundles."""
