"""Hand-written rules that stand in for a model: they read a ticket's words and quote articles, and claim no more."""
