"""The wire, pure: `codec` turns messages into bytes and back, `seal` makes bytes that only this federation can read."""
