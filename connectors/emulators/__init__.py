"""Loopback stand-ins for Splunk, Falcon, Slack and Jira, for the demo and the tests only.

They answer as the products do as far as the vendors' own clients and documents can judge; what
those cannot judge (error texts, timings) is our reading. They bind 127.0.0.1 and nothing else, with
credentials that are random for each state folder.
"""
