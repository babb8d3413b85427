"""What the Python services share: HTTP both ways, the database, the queue, the journal."""
