-- Whom a call is about, by pseudonym: "everything about this person" has to be found before it can be erased or shown.
-- Such questions name one subject of many, as those about a key do: a bloom filter skips the granules without it.
alter table holdfast.events
    add column if not exists subject String comment 'pseudonym of whom the call is about' codec(ZSTD(1)) after arguments_bytes,
    add index if not exists by_subject subject type bloom_filter(0.01) granularity 1;
