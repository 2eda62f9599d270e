"""What an agent author subclasses."""
