"""The brain and its hands: sees a fleet, decides for all of it at once, and acts. Knows nothing of
any face.
"""
