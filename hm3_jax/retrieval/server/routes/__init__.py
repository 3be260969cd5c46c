"""The addresses of the HTTP API, by subject."""
