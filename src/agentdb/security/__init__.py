"""What keeps data from those who may not read it. Knows nothing of agents, and nothing of the database."""
