"""Livox lidars."""
