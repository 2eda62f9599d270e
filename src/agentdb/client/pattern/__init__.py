"""
What `client.patterns` is made of.

Reading order: `variants` chooses by evidence, `life` promotes and quarantines; `recognition` finds what makes a
difference, by the tests of `comparisons`.
"""
