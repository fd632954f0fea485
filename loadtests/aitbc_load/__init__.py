"""The swarm: load on Locust, always in a child process."""
