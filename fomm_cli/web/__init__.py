"""The page in the browser and the HTTP API it stands on; nothing of it trusts who asks."""
