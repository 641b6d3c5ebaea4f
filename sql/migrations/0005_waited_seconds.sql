-- `claim` also says how long each delivery has waited.

drop function if exists chimeway.claim(
  bigint, text, text[], integer[], integer, interval, boolean, boolean);
