"""``python -m cimarron_sim`` is ``cimarron``."""

from .cli import main

if __name__ == "__main__":
    main()
