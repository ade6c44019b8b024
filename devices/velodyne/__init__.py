"""Velodyne lidars."""
