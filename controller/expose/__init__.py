"""What the daemon answers over HTTP: health and metrics."""
