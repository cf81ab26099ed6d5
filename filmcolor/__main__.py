"""`python -m filmcolor`: the same as the `filmcolor` command."""

from filmcolor.cli.main import main

if __name__ == "__main__":
    main()
