"""The data layer that serious Chainlit applications use."""
