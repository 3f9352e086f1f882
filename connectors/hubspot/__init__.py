"""HubSpot as an account: see `connectors.hubspot.connector` for what it promises."""

from connectors.hubspot.connector import HubSpotConnector

__all__ = ["HubSpotConnector"]
