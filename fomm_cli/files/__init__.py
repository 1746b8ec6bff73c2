"""Files that are whole or not there: atomic writes, claims, verified and resumable downloads."""
