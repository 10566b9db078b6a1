"""The raw limit: drivers on our tables, by hand, with nothing that a layer must see to."""
