"""Parsers for values as people write them: numbers, quantities, durations, cron expressions and
formulas.
"""
