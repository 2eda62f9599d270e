"""
What `client.patterns` is made of.

Reading order: `evidence` says how sure a rate is, `variants` chooses by it, `life` promotes and quarantines;
`recognition` finds what makes a difference, by the tests of `comparisons`.
"""
