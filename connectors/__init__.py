"""Connectors: one module or package per app, all behind `connectors.base`. No sync decision is taken here."""
