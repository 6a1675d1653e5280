-- What holds the history to its own past: see docs/proofs.md.

-- A row gives back the exact text that its leaf in the tree is the hash of: from its columns, or, where they cannot, from
-- here. Empty for every event that Holdfast wrote as it writes them now, so it costs nothing.
alter table holdfast.events
    add column if not exists original String comment 'the text of the leaf where the columns cannot give it back' codec(ZSTD(3));

-- Signed checkpoints, one for each entry of the root log. Plain MergeTree as events: only added to. Two processes may both
-- have published one: they are the same then, so who reads takes any of a size. By size, which is how they are asked for;
-- one a few seconds long. Not partitioned: a year of silence is three million rows of some 300 bytes.
create table if not exists holdfast.checkpoints
(
    size UInt64 COMMENT 'entries of the root log' CODEC(Delta, ZSTD(1)),
    time DateTime64(3, 'UTC') COMMENT 'of the newest entry' CODEC(Delta, ZSTD(1)),
    note String COMMENT 'the signed note, as it can be checked' CODEC(ZSTD(3))
)
engine = MergeTree
order by size
settings fsync_after_insert = 1, fsync_part_directory = 1;
