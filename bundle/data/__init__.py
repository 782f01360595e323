"""Which images a run works on, and how they reach the engine."""
