-- `record` answers for the nth of what it was told, and not for ids that the caller knows.

drop function if exists chimeway.record_unlocked(
  text, uuid[], bigint[], text[], double precision[], double precision[], text[], integer[],
  text[], text[], interval[]);
drop function if exists chimeway.record(
  text, uuid[], bigint[], text[], double precision[], double precision[], text[], integer[],
  text[], text[], interval[]);
drop function if exists chimeway.settle(
  uuid[], bigint[], text[], text, double precision[], double precision[], text[], integer[],
  text[], text[], interval[]);
