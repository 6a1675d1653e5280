-- The leaf (RFC 9162, base64) of the event that ended an operation, so that every answer about it carries the same receipt.
-- Null while it is not final, and for those that ended before.
alter table operations add column receipt text;
