"""
What agentdb puts into a user's folders, for `agentdb init` and `agentdb migrate copy`.

`files.py`, how a file is made: whole or not at all, and never in the place of another. `env_file.py`, `.env` from its
template. `shims.py`, the modules with the import paths of old. `prisma_folder.py`, models and migrations for a Node
application.
"""
