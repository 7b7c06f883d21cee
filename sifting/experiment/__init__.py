"""What an input file says: keys, the sections that they stand in, and the experiment that all sections make."""
