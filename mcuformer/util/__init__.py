"""Small things that every room needs and that know nothing of models: names, sizes, signals, records."""
