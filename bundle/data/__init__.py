"""Which images a run works on, how they reach the engine, and warps of the template."""
