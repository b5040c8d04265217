"""The dashboard's style sheets, read as package data."""
