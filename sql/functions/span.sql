create or replace function chimeway.span(p_length interval)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when s.seconds < 1 then round(s.seconds * 1000)::text || ' ms'
    when s.seconds < 120 then trim_scale(round(s.seconds, 1))::text || ' s'
    when s.seconds < 7200 then trim_scale(round(s.seconds / 60, 1))::text || ' min'
    when s.seconds < 172800 then trim_scale(round(s.seconds / 3600, 1))::text || ' h'
    else trim_scale(round(s.seconds / 86400, 1))::text || ' days'
  end
  from (select extract(epoch from p_length) as seconds) as s
$$;

comment on function chimeway.span(interval) is 'A length of time for people: 250 ms, 30 s, 4 min.';

revoke all on function chimeway.span(interval) from public;
