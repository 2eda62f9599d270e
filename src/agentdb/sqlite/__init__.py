"""What agents left in SQLite files, brought into the organization's database: what `agentdb import-sqlite` calls."""
