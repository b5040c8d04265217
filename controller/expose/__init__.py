"""What others may read over HTTP: health and metrics."""
