"""`python -m pbxfed_ari.cli`: the same as `pbxfed`."""

from pbxfed_ari.cli import main

if __name__ == "__main__":
    main(prog_name="pbxfed")
