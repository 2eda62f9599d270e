"""
What `client.metrics` is made of.

Reading order: `recorder` takes points in hot loops, `reads` answers from points and from hours that are rolled up,
`upkeep` rolls them up and deletes old ones; `buckets` is the calendar, `bins` and `parts` are histograms that add up.
"""
