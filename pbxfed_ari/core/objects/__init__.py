"""Kinds of configuration objects, one file each: fields, rules, field groups, and what they mean to a route.

An object's id is its kind's byte and eight more; its fields stand in the book in groups that are decided as one. A new kind
is one new file here, and a line where `directory.py` reads the book.
"""
