"""What a tick shows: the views and findings of a snapshot."""
