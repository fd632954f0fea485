"""The part of the swarm that Locust drives: importing it patches the process for ever."""
