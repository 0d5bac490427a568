"""What runs inside the probe container: the applications that are asked, the clients that ask, the servers alone."""
