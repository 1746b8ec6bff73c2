"""Data sets from the web: metadata tables, downloads, cutting clips out of videos."""
