"""A collection of museums as an HTTP API and a web page."""
