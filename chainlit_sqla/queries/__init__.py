"""The read path: statements that are made once, and rows, not entities.

No function here sends more statements because there are more steps or threads.
"""
