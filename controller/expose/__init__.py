"""The daemon's HTTP endpoints: health and metrics."""
