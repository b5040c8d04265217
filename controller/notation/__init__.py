"""The small languages in which people write values: numbers, quantities, durations, cron
expressions and formulas.
"""
