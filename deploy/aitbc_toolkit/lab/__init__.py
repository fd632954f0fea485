"""systemd-nspawn hosts on this machine."""
