"""Fair shares of what is scarce, over many pools, tenants and resources at once.

This room knows nothing of pools beyond their number, what they ask for and what they draw.
"""
