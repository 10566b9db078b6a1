"""The write path: operations as values, a pure plan, one transaction a batch."""
