"""The read path: async functions of a connection, rows and not entities.

No function here sends more statements because there are more steps or threads.
"""
