"""``python -m cnncli``, and what torchrun runs."""

from cnncli.cli import main

if __name__ == "__main__":
    main()
