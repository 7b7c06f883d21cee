"""What knows nothing of networks: files, signals, commands, random streams."""
