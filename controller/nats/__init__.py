"""Everything that the controller reads from NATS and writes to it, over one session."""
