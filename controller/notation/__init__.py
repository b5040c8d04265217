"""Parsers for what people write: numbers, quantities, durations, cron, formulas."""
