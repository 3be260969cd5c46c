"""What each command does, on what its flags have become."""
