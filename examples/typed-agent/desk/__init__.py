"""A support desk: an agent that answers tickets from what it remembers."""
