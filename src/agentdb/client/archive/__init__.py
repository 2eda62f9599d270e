"""
An agent or an organization as lines of text. In reading order: `tables`, which rows of which table are moved and in
what order; `sealing`, what becomes of sealed values; `rows`, what a line holds; `arrivals`, what an import stores;
`transfer`, which exports and imports.
"""
