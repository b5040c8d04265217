"""The views: each one puts panels on the screen and fills them from a frame."""
