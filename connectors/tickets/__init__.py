"""Clients of one product each."""
