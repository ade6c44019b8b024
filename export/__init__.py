"""Datasets and deliveries, each opened by its consumer before it leaves."""
