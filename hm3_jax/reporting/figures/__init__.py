"""Figures of runs; matplotlib and scikit-learn are needed here only."""
