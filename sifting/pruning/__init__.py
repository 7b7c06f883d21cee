"""Pruning: scores say how much each weight matters, scopes say which of them compete."""
