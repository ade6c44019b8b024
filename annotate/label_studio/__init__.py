"""The labelling server: run it, give it frames, take back what people drew."""
