"""
What `client.memories` is made of.

Reading order: `store`, `search`, `upkeep` and `transfer` are its parts; `rows`, `hits`, `lines` and `transfer_rows`
turn entries into rows and rows into what is returned, `sealing` encrypts them; `scope` and `filters` narrow a question,
`retrieval` ranks; `embedding` and what begins like it makes vectors, `accesses` counts recalls.
"""
