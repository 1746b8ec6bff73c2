"""The workshop: tensors in, tensors out; no files, devices or prints."""
