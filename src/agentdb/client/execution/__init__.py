"""
What `client.executions` is made of.

Reading order: `running` is the execution that code is inside of, `steps` its trail and `journal` how that gets to the
database; `writes` sends starts and ends, `heartbeats` says what still runs, `reads` and `reports` look back; `payloads`
decides what may be kept, `sealing` how it stands where it is encrypted.
"""
