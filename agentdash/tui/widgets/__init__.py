"""Widgets that are drawn line by line and refresh only the cells that change."""
