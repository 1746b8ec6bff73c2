"""What a model is and how it is trained: the schema, the presets and files it is read from, upstream's vocabulary."""
