"""The loop: observe, plan, actuate, record, publish."""
