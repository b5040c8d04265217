"""The views: each puts panels on the screen and fills them from a scene."""
