"""The room of DNS: answers for the federation's domain. What is said, core/naming decide.

`reply` turns a query's bytes into an answer's, `limit` says whether a stranger is answered, `server` holds the sockets.
"""
