"""What ran when, as a page of HTML that needs nothing else."""
