"""The only importer of pyinfra; always runs as a child process."""
