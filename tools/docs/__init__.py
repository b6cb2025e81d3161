"""The documents' tables that equal the code: generated, never copied by hand."""
