"""Tests of what is installed on a host."""
