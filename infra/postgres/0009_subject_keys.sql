-- Keys of persons (or other subjects) whose data the history keeps encrypted: one that lives for each subject, and those
-- that were destroyed. To destroy a key is to erase, everywhere at once, what was encrypted with it.
--
-- subject is a pseudonym, keyed with HOLDFAST_SECRET: the table names nobody. wrapped is the key itself, encrypted under a
-- key derived from that secret; erasing sets it to null and leaves the row, so that who asks is told when it was erased.
create table subject_keys (
  key_id text primary key,
  tenant text not null,
  subject text not null,
  wrapped text,
  wrapped_with text not null,
  created_at timestamptz not null default clock_timestamp(),
  erased_at timestamptz,
  check ((wrapped is null) = (erased_at is not null))
);

-- What comes of a subject after it was erased has a key of its own.
create unique index subject_keys_live on subject_keys (tenant, subject) where erased_at is null;
create index subject_keys_subject on subject_keys (tenant, subject);
