"""Meshes of devices, slots of runs, processes, memory and compiled programs."""
