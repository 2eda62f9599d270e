"""
agentdb beside raw asyncpg: `python -m benchmarks`, or `make bench`.

Each operation runs against the same work written by hand, on a dedicated asyncpg connection, in the same process, on
the same embedded server, in turns: a few calls of one, a few of the other. What counts is the median of the rounds'
ratios, so a machine that is slow for a while slows both sides alike. A missed bar is shown, not raised: a timing is no
test.
"""
