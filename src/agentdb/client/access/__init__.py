"""
What the access log is made of; `agentdb.security.access_log` has its chain.

- `statements`: what a statement touches, and the same statement with its entry of the log.
- `operations`: the operation that is running, who does it, and what becomes of it in the end.
- `methods`: every public method of a resource made an operation.
- `driver`: raw SQL made operations.
- `entries`: what is written a moment later, and chained.
- `log`: reading and auditing.
"""
