create or replace function chimeway.suppress_recipients(
  p_delivery_ids uuid[],
  p_kinds text[]
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
-- What holds claims locked waits for no list of an operator's for long; record_unlocked goes on without.
set lock_timeout = '200ms'
as $$
  -- In one order, for two records may bring the same recipients.
  insert into chimeway.suppressions as s (recipient, channel, tenant_id, actor)
  select d.recipient, d.channel, d.tenant_id, 'the recipient, by delivery ' || min(d.id::text)
  from unnest(p_delivery_ids, p_kinds) as r (delivery_id, kind)
  join chimeway.deliveries as d on d.id = r.delivery_id
  where r.kind = 'unsubscribed'
  group by d.recipient, d.channel, d.tenant_id
  order by d.recipient, d.channel, d.tenant_id
  on conflict on constraint suppressions_key do update
  set reason = excluded.reason, actor = excluded.actor, created_at = now(), expires_at = null
  where s.expires_at <= chimeway.clock()
$$;

comment on function chimeway.suppress_recipients(uuid[], text[]) is
  'Puts the recipients of the deliveries that ended as unsubscribed into suppressions, for their '
  'channel and tenant; whoever is there already stays as they are, unless that has expired. Also '
  'where the claim was lost meanwhile: the recipient has said it all the same. Locks suppressions, '
  'last of all.';

revoke all on function chimeway.suppress_recipients(uuid[], text[]) from public;
