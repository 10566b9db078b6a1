"""The app behind ``chainlit-sqla demo``."""
