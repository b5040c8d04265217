"""The interfaces of everything that the engine needs from outside. Each is a small Protocol with a
working fake in the tests.
"""
