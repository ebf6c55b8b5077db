"""What ended runs teach: statistics of runs, findings about them, scores by a rubric."""
