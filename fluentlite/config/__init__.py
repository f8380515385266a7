"""The configuration: frozen objects (model) and the readers that make them."""
