"""What is wrong with a mesh right now, by the same rules that a Prometheus is given?"""
