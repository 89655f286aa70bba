"""Models on vLLM servers; import `server.connect` for a server and `session` for the models that a solve uses.

`client` speaks HTTP, `facts` finds out what a server can do, `answers` reads what it returns.
"""
