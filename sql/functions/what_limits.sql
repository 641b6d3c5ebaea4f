create or replace function chimeway.what_limits(p_channel text, p_now timestamptz)
returns table (until timestamptz, limited_by text, why text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select l.until, l.limited_by, l.why
  from (
    select case when not chimeway.is_probing(b) then greatest(b.retry_at, p_now) end as until,
      case when chimeway.is_probing(b) then 'breaker, half-open' else 'breaker, open' end as limited_by,
      format('daemon %s opened the breaker of channel %s at %s: %s%s; %s', b.opened_by, b.channel,
        chimeway.moment(b.opened_at), b.reason,
        case b.failed_probes when 0 then '' when 1 then '; 1 probe has failed since'
          else format('; %s probes have failed since', b.failed_probes) end,
        case when chimeway.is_probing(b)
          then format('delivery %s is trying whether it works again', b.probe_delivery_id)
          else format('from %s on one delivery may try', chimeway.moment(b.retry_at)) end) as why,
      1 as rank
    from chimeway.breakers as b
    where b.channel = p_channel
    union all
    select chimeway.calls_free_at(r, p_now, 1), 'rate',
      format('channel %s may make %s calls in %s, at most %s at once', r.channel, r.calls,
        chimeway.span(r.per), r.burst),
      2
    from chimeway.rates as r
    where r.channel = p_channel and chimeway.free_calls(r, p_now) < 1
  ) as l
  order by l.rank
  limit 1
$$;

comment on function chimeway.what_limits(text, timestamptz) is
  'What keeps a channel from calling now, beside an operator''s pause, and until when (null: until a '
  'probe ends); no row: nothing does.';

revoke all on function chimeway.what_limits(text, timestamptz) from public;
