"""
What `client.tools` is made of.

Reading order: `calls` records, `stats` looks back, `schemas` writes tools as callers of language models take them;
`sealing` knows how parameters stand where they are encrypted.
"""
