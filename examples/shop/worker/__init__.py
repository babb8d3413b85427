"""The worker: takes paid orders from the queue, counts stock down and the daily report up."""
