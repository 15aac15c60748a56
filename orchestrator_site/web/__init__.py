"""Middleware for all requests and responses, and the API schema and docs."""
