"""The way to PostgreSQL: the only package that imports the database library."""
