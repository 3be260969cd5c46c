"""What training minimises and what evaluation measures, on arrays alone."""
