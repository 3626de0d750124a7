"""What a network is, looked at layer by layer."""
