"""Real parts that several test folders start."""
