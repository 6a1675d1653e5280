-- API keys: who may call, as which agent. Written by `holdfast keys`, read by every service that authenticates.
-- Only the SHA-256 of a key is here: whoever reads this table cannot call. A key has 190 random bits, so its plain hash
-- cannot be searched for. There is no "last used" column: it would be a write for every call; the history has every use.
create table api_keys (
  key_id text primary key,                  -- the middle of hf_<key_id>_<secret>; not secret
  hash text not null check (hash ~ '^[0-9a-f]{64}$'),
  agent text not null,
  tenant text not null,                     -- a key made for one tenant stops working when its agent moves to another
  name text not null,                       -- what it is for, in the operator's words
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz                    -- rows stay: an old key's credential can still be told from the history
);
