"""A fake of HubSpot's CRM API, served over HTTP on loopback.

Written from our research page alone and stricter than the real one: what the page does not say is refused. Imports nothing of ours; uses
relative imports only, so that it runs under whatever name it is installed. docs/reference/fake-hubspot.md holds its limits and knobs.
"""
