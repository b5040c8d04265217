"""The NATS session that never dies quietly."""
