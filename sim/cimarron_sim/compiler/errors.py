"""What goes wrong at compile time."""

__all__ = ["CompileError"]


class CompileError(ValueError):
    """A network that the given hardware cannot run; the sentence names the layer, what it needs and the way out."""
