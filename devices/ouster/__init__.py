"""Ouster lidars."""
