"""What is sent to the daemon to run: scripts, functions, scans."""
