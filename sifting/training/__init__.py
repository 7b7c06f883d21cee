"""Training: plans, sessions, the compiled loop and its observers, records; and all of it from Python (api)."""
