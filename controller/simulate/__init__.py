"""A simulation in virtual time: event-driven pools, policies to compare, and their score."""
