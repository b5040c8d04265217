"""The small languages that people write inside a fleet file: formulas and cron expressions."""
