"""The control loop: observe, plan, actuate, record, publish."""
