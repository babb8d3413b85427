"""Orders: customers, checkout, reports."""
