"""AWS, as the program needs it. It knows no OAuth: another cloud's store could replace it."""
