"""Splunk: `connection` is the client, `window` the poll's arithmetic, the rest its words."""
