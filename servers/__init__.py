"""Real servers for tests, benchmarks and demonstrations, on loopback: started here, stopped by process id."""
