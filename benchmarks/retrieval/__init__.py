"""Finding and storing memories beside hand-written SQL: 100,000 memories with embeddings, ten organizations."""
