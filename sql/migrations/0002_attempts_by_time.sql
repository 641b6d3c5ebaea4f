-- What was tried lately, for operators who watch: attempts are appended in the order of time, so a
-- summary of each few pages finds them. A B-tree would cost each delivery more than its attempt row.
create index delivery_attempts_finished_at
  on chimeway.delivery_attempts using brin (finished_at)
  with (pages_per_range = 32, autosummarize = on);
