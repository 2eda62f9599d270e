"""
What erasing is made of: `scope` says what is to go, `found` looks for rows about somebody, `residue` for what still
speaks of it, and `erasing` does it. `mentions` has the pure parts of both searches.
"""
